// The functions that the primitives' templates call: to the machine that runs, or what they mean without one.
#include <cstdio>
#include <cstdlib>
#include <new>
#include <system_error>

#include "runtime/machine.h"

namespace interleave {

thread_local constinit Machine* running_machine = nullptr;
bool assertions_told = false;

namespace {

[[noreturn]] void outside(const char* what, Where where) {
  std::fprintf(stderr, "%s:%u: interleave: %s outside of a run: it works within interleave::check only\n",
               where.file, where.line, what);
  std::abort();
}

/// Everything that the caller's caller could see differently when it comes here again: the registers that
/// calls keep, and the stack from here on, with what AddressSanitizer would keep between the variables.
[[gnu::noinline, gnu::no_sanitize("address")]] std::uint64_t hash_of_thread() {
  __builtin_unwind_init();  // writes the registers that calls keep to this function's frame
  const std::uint64_t* begin = nullptr;
#if defined(__x86_64__)
  asm volatile("movq %%rsp, %0" : "=r"(begin));
#else
  asm volatile("mov %0, sp" : "=r"(begin));
#endif
  const auto* end = static_cast<const std::uint64_t*>(running_machine->stack_end());
  std::uint64_t hash = 1469598103934665603U;
  for (const std::uint64_t* word = begin; word < end; ++word) hash = (hash ^ *word) * 1099511628211U;
  return hash | 1;
}

// Out of line, so that the usual way needs no frame.
[[gnu::noinline]] std::uint64_t suspicious_load(const detail::Cell& cell, std::uint64_t initial,
                                                std::memory_order order, Where where) {
  running_machine->spins(hash_of_thread());
  return running_machine->load(cell, initial, order, where);
}
[[gnu::noinline]] void suspicious_compare_exchange() {
  running_machine->spins(hash_of_thread());
}

Machine& machine(const char* what, Where where) {
  if (running_machine == nullptr) outside(what, where);
  return *running_machine;
}

}  // namespace

void expect(bool condition, const char* what, Where where) {
  if (condition) return;
  if (running_machine == nullptr) {
    std::fprintf(stderr, "%s:%u: %s\n", where.file, where.line, what);
    std::abort();
  }
  Machine& machine = *running_machine;
  const Inside inside;
  machine.fail(Verdict::assertion, std::string("expectation failed: ") + what, where, {});
}

void assume(bool condition, Where where) {
  if (!condition) machine("assume", where).abandon(where);
}

unsigned fail_allocations(unsigned most, Where where) {
  return running_machine == nullptr ? 0 : running_machine->fail_allocations(most, where);
}
unsigned fail_threads(unsigned most, Where where) {
  return running_machine == nullptr ? 0 : running_machine->fail_threads(most, where);
}
unsigned choose(unsigned count, Where where) {
  return running_machine == nullptr ? 0 : running_machine->choose(count, where);
}

namespace detail {

bool running() noexcept {
  return running_machine != nullptr;
}

void construct(const Cell& cell, Where where) noexcept {
  if (running_machine != nullptr) running_machine->construct(cell, where);
}
void destroy(const Cell& cell, Where where) noexcept {
  if (running_machine != nullptr) running_machine->destroy(cell, where);
}

std::uint64_t load(const Cell& cell, std::uint64_t initial, std::memory_order order, Where where) {
  if (running_machine == nullptr) [[unlikely]]
    return initial;
  if (running_machine->suspicious) [[unlikely]]
    return suspicious_load(cell, initial, order, where);
  return running_machine->load(cell, initial, order, where);
}
bool store(const Cell& cell, std::uint64_t initial, std::uint64_t value, std::memory_order order,
           Where where) {
  if (running_machine == nullptr) return false;
  running_machine->store(cell, initial, value, order, where);
  return true;
}
std::uint64_t modify(const Cell& cell, std::uint64_t initial, Modify how, std::memory_order order,
                     Where where) {
  return running_machine == nullptr ? initial : running_machine->modify(cell, initial, how, order, where);
}
std::uint64_t compare_exchange(const Cell& cell, std::uint64_t initial, std::uint64_t expected,
                               std::uint64_t desired, std::memory_order success, std::memory_order failure,
                               Where where) {
  if (running_machine == nullptr) return initial;
  if (running_machine->suspicious) [[unlikely]]
    suspicious_compare_exchange();
  return running_machine->compare_exchange(cell, initial, expected, desired, success, failure, where);
}
void fence(std::memory_order order, Where where) {
  if (running_machine != nullptr) running_machine->fence(order, where);
}
std::uint64_t await(const Cell& cell, std::uint64_t initial, Want want, std::uint64_t operand,
                    Predicate predicate, const void* context, std::memory_order order, Where where) {
  if (running_machine != nullptr) {
    return running_machine->await(cell, initial, want, operand, predicate, context, order, where);
  }
  if (want == Want::by_code && !predicate(context, initial)) outside("an await that has to wait", where);
  return initial;
}
void atomic_wait(const Cell& cell, std::uint64_t initial, std::uint64_t old, std::memory_order order,
                 Where where) {
  if (running_machine != nullptr) {
    running_machine->atomic_wait(cell, initial, old, order, where);
  } else if (initial == old) {
    outside("a wait that has to wait", where);
  }
}
void atomic_notify(const Cell& cell, bool all, Where where) {
  if (running_machine != nullptr) running_machine->atomic_notify(cell, all, where);
}

// Outside of runs there is one thread: mutexes are free, and nobody waits.
void mutex_lock(const Cell& cell, Where where) {
  if (running_machine != nullptr) running_machine->mutex_lock(cell, where);
}
bool mutex_try_lock(const Cell& cell, Where where) {
  return running_machine == nullptr || running_machine->mutex_try_lock(cell, where);
}
void mutex_unlock(const Cell& cell, Where where) {
  if (running_machine != nullptr) running_machine->mutex_unlock(cell, where);
}
bool condition_wait(const Cell& cell, const Cell& mutex, bool timed, Where where) {
  return machine("a wait on a condition variable", where).condition_wait(cell, mutex, timed, where);
}
void condition_notify(const Cell& cell, bool all, Where where) {
  if (running_machine != nullptr) running_machine->condition_notify(cell, all, where);
}
void semaphore_acquire(const Cell& cell, std::uint64_t initial, Where where) {
  machine("a semaphore", where).semaphore_acquire(cell, initial, where);
}
bool semaphore_try_acquire(const Cell& cell, std::uint64_t initial, Where where) {
  return machine("a semaphore", where).semaphore_try_acquire(cell, initial, where);
}
void semaphore_release(const Cell& cell, std::uint64_t initial, std::ptrdiff_t count, std::ptrdiff_t most,
                       Where where) {
  machine("a semaphore", where).semaphore_release(cell, initial, count, most, where);
}
void semaphore_misused(std::ptrdiff_t count, std::ptrdiff_t most, Where where) {
  Machine* const running = running_machine;
  const Inside inside;
  const std::string what =
      "a semaphore is made with " + std::to_string(count) + ", and may have 0 to " + std::to_string(most);
  if (running != nullptr) running->fail(Verdict::misuse, what, where, {});
  std::fprintf(stderr, "%s:%u: interleave: %s\n", where.file, where.line, what.c_str());
  std::abort();
}
bool once_begin(const Cell& cell, Where where) {
  return machine("call_once", where).once_begin(cell, where);
}
void once_end(const Cell& cell, bool done, Where where) {
  machine("call_once", where).once_end(cell, done, where);
}

void plain_read(const void* address, std::size_t bytes, Where where) {
  if (running_machine != nullptr) running_machine->plain_access(address, bytes, false, where);
}
void plain_write(const void* address, std::size_t bytes, Where where) {
  if (running_machine != nullptr) running_machine->plain_access(address, bytes, true, where);
}

void plain_destroy(const void* address, std::size_t bytes) {
  if (running_machine != nullptr) running_machine->plain_destroy(address, bytes, {});
}

void* closure_room(std::size_t bytes, std::size_t alignment, Where where) {
  void* room = machine("a thread", where).closure_room(bytes, alignment, where);
  if (room == nullptr) throw std::bad_alloc();
  return room;
}
unsigned thread_start(void (*run)(void*), void* closure, Where where) {
  const unsigned number = machine("a thread", where).thread_start(run, closure, where);
  if (number == Machine::kNoThread)
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
  return number;
}
void thread_join(unsigned thread, Where where) {
  machine("join", where).thread_join(thread, where);
}
void thread_detach(unsigned thread, Where where) {
  machine("detach", where).thread_detach(thread, where);
}
unsigned thread_self() noexcept {
  return running_machine == nullptr ? 0 : running_machine->thread_self();
}
void thread_yield(Where where) {
  if (running_machine != nullptr) running_machine->thread_yield(where);
}
void* slot_get(const void* key) noexcept {
  return running_machine == nullptr ? nullptr : running_machine->slot_get(key);
}
void slot_set(const void* key, void* value, void (*hook)(void*), Where where) {
  machine("a thread slot", where).slot_set(key, value, hook, where);
}
std::int64_t clock_now() noexcept {
  return running_machine == nullptr ? 0 : running_machine->clock_now();
}
void clock_reached(std::int64_t when) noexcept {
  if (running_machine != nullptr) running_machine->clock_reached(when);
}
int process_fork(Where where) {
  return machine("fork", where).process_fork(where);
}
void process_at_fork(void (*prepare)(), void (*parent)(), void (*child)()) {
  machine("at_fork", {}).process_at_fork(prepare, parent, child);
}

}  // namespace detail
}  // namespace interleave
