// Functions of the C and C++ libraries that runs see differently.
#include "runtime/interposed.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <typeinfo>

#include "runtime/machine.h"
#include "runtime/symbols.h"

namespace interleave {
namespace {

void on_terminate() {
  if (running_machine == nullptr) std::abort();
  Machine& machine = *running_machine;
  const void* caller = __builtin_return_address(0);
  const Inside inside;
  machine.fail(Verdict::exception,
               "std::terminate was called: an exception met a noexcept function, or a thread object was "
               "destroyed that was neither joined nor detached",
               place_of(caller), {});
}

constexpr int kCrashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/// Runs on a stack of its own, as the fiber's may be what overflowed, and leaves it for the host's.
void on_crash(int signal) {
  if (running_machine == nullptr) {
    ::signal(signal, SIG_DFL);
    raise(signal);
    return;
  }
  Machine& machine = *running_machine;
  const Inside inside;
  machine.fail(Verdict::crash, std::string("crash: ") + strsignal(signal), {}, {});
}

alignas(16) char crash_stack[64 << 10];

pid_t checking_process = 0;

/// In the test's code exit would end the checks that are still to come, as if all were well. A process that
/// the test has forked itself may end.
void refuse_to_exit(const char* function, const void* caller) {
  if (running_machine == nullptr || getpid() != checking_process) return;
  Machine& machine = *running_machine;
  const Inside inside;
  machine.fail(Verdict::misuse, std::string(function) + " is called in a run", place_of(caller), {});
}

using Exit = void (*)(int);
Exit real(const char* name) noexcept {
  return reinterpret_cast<Exit>(dlsym(RTLD_NEXT, name));
}

}  // namespace

void Interposed::forked() noexcept {
  checking_process = getpid();
}

Interposed::Interposed() : before_(std::set_terminate(&on_terminate)) {
  checking_process = getpid();
  stack_t stack{};
  stack.ss_sp = crash_stack;
  stack.ss_size = sizeof(crash_stack);
  sigaltstack(&stack, &stack_);
  struct sigaction action {};
  action.sa_handler = &on_crash;
  action.sa_flags = SA_ONSTACK | SA_NODEFER;  // it does not return
  for (int i = 0; i < kSignals; ++i) sigaction(kCrashes[i], &action, &actions_[i]);
}

Interposed::~Interposed() {
  std::set_terminate(before_);
  for (int i = 0; i < kSignals; ++i) sigaction(kCrashes[i], &actions_[i], nullptr);
  sigaltstack(&stack_, nullptr);
}

}  // namespace interleave

extern "C" {

// What assert calls.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
void __assert_fail(const char* condition, const char* file, unsigned line, const char* function) {
  if (interleave::running_machine == nullptr) {
    std::fprintf(stderr, "%s:%u: %s: Assertion `%s' failed.\n", file, line, function, condition);
    std::abort();
  }
  interleave::Machine& machine = *interleave::running_machine;
  const interleave::Inside inside;
  machine.fail(interleave::Verdict::assertion, std::string("assertion failed: ") + condition, {file, line},
               {});
}

// What a program ends by. Weak, as a C library that is linked statically has them with other functions.
[[gnu::weak]] void exit(int status) {
  interleave::refuse_to_exit("exit", __builtin_return_address(0));
  interleave::real("exit")(status);
  __builtin_unreachable();
}
[[gnu::weak]] void quick_exit(int status) noexcept {
  interleave::refuse_to_exit("quick_exit", __builtin_return_address(0));
  interleave::real("quick_exit")(status);
  __builtin_unreachable();
}
[[gnu::weak]] void _exit(int status) {
  interleave::refuse_to_exit("_exit", __builtin_return_address(0));
  interleave::real("_exit")(status);
  __builtin_unreachable();
}
[[gnu::weak]] void _Exit(int status) noexcept {
  interleave::refuse_to_exit("_Exit", __builtin_return_address(0));
  interleave::real("_Exit")(status);
  __builtin_unreachable();
}

// Where an exception comes from, for the report of one that nobody catches. Weak, as a libstdc++ that is
// linked statically has it in one object with other functions.
[[gnu::weak]] void __cxa_throw(void* exception, std::type_info* type, void (*destroy)(void*)) {
  using Throw = void (*)(void*, std::type_info*, void (*)(void*));
  static const auto real = reinterpret_cast<Throw>(dlsym(RTLD_NEXT, "__cxa_throw"));
  if (interleave::running_machine != nullptr)
    interleave::running_machine->thrown(__builtin_return_address(0));
  real(exception, type, destroy);
  __builtin_unreachable();
}

}  // extern "C"
