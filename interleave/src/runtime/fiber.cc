#include "runtime/fiber.h"

#include <cxxabi.h>
#include <pthread.h>
#include <sys/mman.h>

#include <new>

#include "runtime/sanitizers.h"

#if INTERLEAVE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the registers that a call preserves on the stack, and the stack pointer in *save; then the same
// backwards with load.
#if defined(__aarch64__)
asm(R"(
.text
.globl interleave_switch
.hidden interleave_switch
.type interleave_switch,%function
interleave_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size interleave_switch,.-interleave_switch
)");
#elif !defined(__x86_64__)
#error "interleave switches stacks on x86-64 and aarch64 only"
#endif

namespace interleave {
namespace {

constexpr std::size_t kGuard = 4096;
constexpr std::size_t kStacks = 32;

}  // namespace

detail::ExceptionGlobals* detail::exception_globals = nullptr;

void Fiber::take_stack(int n) {
  static const auto range = [] {
    void* all = mmap(nullptr, kStacks * (kStackBytes + kGuard), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    auto* begin = static_cast<std::byte*>(all);
    for (std::size_t i = 0; i < kStacks; ++i) mprotect(begin + i * (kStackBytes + kGuard), kGuard, PROT_NONE);
    return begin;
  }();
  detail::exception_globals = reinterpret_cast<detail::ExceptionGlobals*>(__cxxabiv1::__cxa_get_globals());
  stack_ = range + static_cast<std::size_t>(n) * (kStackBytes + kGuard) + kGuard;
}

void Fiber::prepare(void (*entry)()) {
#if INTERLEAVE_ASAN
  constexpr std::size_t kUsed =
      32 << 10;  // what frames of a run that was given up have left: all but the deepest
  __asan_unpoison_memory_region(stack_ + kStackBytes - kUsed, kUsed);
#endif
  caught_ = nullptr;
  uncaught_ = 0;
  fake_stack_ = nullptr;
#if defined(__x86_64__)
  // What the switch pops is the address that it goes on at; the stack is aligned as at a call.
  auto** top = reinterpret_cast<void**>(stack_ + kStackBytes) - 1;
  *top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  pointer_ = top;
#else
  auto** frame = reinterpret_cast<void**>(stack_ + kStackBytes) - 20;
  for (int i = 0; i < 20; ++i) frame[i] = nullptr;
  frame[11] = reinterpret_cast<void*>(entry);  // x30
  pointer_ = frame;
#endif
}

void Fiber::entered() noexcept {
#if INTERLEAVE_ASAN
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

#if INTERLEAVE_ASAN
void Fiber::start_switch(Fiber& to) noexcept {
  const void* begin = to.stack_;
  std::size_t size = kStackBytes;
  if (begin == nullptr) {  // the host's
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    void* host = nullptr;
    pthread_attr_getstack(&attributes, &host, &size);
    pthread_attr_destroy(&attributes);
    begin = host;
  }
  __sanitizer_start_switch_fiber(&fake_stack_, begin, size);
}

void Fiber::finish_switch() noexcept {
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
}
#endif

}  // namespace interleave
