// What runs a test: the interface between the primitives and an engine of some size.
#pragma once

#include <cstdint>
#include <string>

#include "interleave/check.h"
#include "interleave/detail/runtime.h"

namespace interleave {

using detail::Cell;

/// The operations of detail/runtime.h, for the thread of the run that is running.
///
/// Thread safety: one thread.
class Machine {
 public:
  virtual ~Machine() = default;

  virtual void construct(const Cell& cell, Where where) = 0;
  virtual void destroy(const Cell& cell, Where where) = 0;
  /// Whether the run has used the object.
  virtual bool in_use(const Cell& cell) const = 0;
  virtual std::uint64_t load(const Cell& cell, std::uint64_t initial, std::memory_order order,
                             Where where) = 0;
  virtual void store(const Cell& cell, std::uint64_t initial, std::uint64_t value, std::memory_order order,
                     Where where) = 0;
  virtual std::uint64_t modify(const Cell& cell, std::uint64_t initial, detail::Modify how,
                               std::memory_order order, Where where) = 0;
  virtual std::uint64_t compare_exchange(const Cell& cell, std::uint64_t initial, std::uint64_t expected,
                                         std::uint64_t desired, std::memory_order success,
                                         std::memory_order failure, Where where) = 0;
  /// Whether the thread may be in a loop that waits: then each load is preceded by this, with a hash of all
  /// that the thread has on its stack and in registers.
  bool suspicious = false;
  virtual const void* stack_end() const = 0;
  virtual void spins(std::uint64_t hash) = 0;
  virtual void fence(std::memory_order order, Where where) = 0;
  virtual std::uint64_t await(const Cell& cell, std::uint64_t initial, detail::Want want,
                              std::uint64_t operand, detail::Predicate predicate, const void* context,
                              std::memory_order order, Where where) = 0;
  virtual void atomic_wait(const Cell& cell, std::uint64_t initial, std::uint64_t old,
                           std::memory_order order, Where where) = 0;
  virtual void atomic_notify(const Cell& cell, bool all, Where where) = 0;

  virtual void mutex_lock(const Cell& cell, Where where) = 0;
  virtual bool mutex_try_lock(const Cell& cell, Where where) = 0;
  virtual void mutex_unlock(const Cell& cell, Where where) = 0;
  virtual bool condition_wait(const Cell& cell, const Cell& mutex, bool timed, Where where) = 0;
  virtual void condition_notify(const Cell& cell, bool all, Where where) = 0;
  virtual void semaphore_acquire(const Cell& cell, std::uint64_t initial, Where where) = 0;
  virtual bool semaphore_try_acquire(const Cell& cell, std::uint64_t initial, Where where) = 0;
  virtual void semaphore_release(const Cell& cell, std::uint64_t initial, std::ptrdiff_t count,
                                 std::ptrdiff_t most, Where where) = 0;
  virtual bool once_begin(const Cell& cell, Where where) = 0;
  virtual void once_end(const Cell& cell, bool done, Where where) = 0;

  /// Litmus programs' plain accesses: events like any other.
  virtual std::uint64_t plain_load(const Cell& cell, Where where) = 0;
  virtual void plain_store(const Cell& cell, std::uint64_t value, Where where) = 0;

  virtual void plain_access(const void* address, std::size_t bytes, bool write, Where where) = 0;

  /// The end of what was there: nobody may be using it.
  virtual void plain_destroy(const void* address, std::size_t bytes, Where where) = 0;
  /// Null when there is none. by: the address that the allocation returns to.
  virtual void* allocate(std::size_t bytes, std::size_t alignment, const void* by) = 0;
  virtual void release(void* address, const void* by) = 0;

  /// An exception is thrown there.
  virtual void thrown(const void* from) = 0;

  /// Null when there is none.
  virtual void* closure_room(std::size_t bytes, std::size_t alignment, Where where) = 0;
  /// Its number; kNoThread when the system has none left.
  static constexpr unsigned kNoThread = ~0U;
  virtual unsigned thread_start(void (*run)(void*), void* closure, Where where) = 0;
  virtual void thread_join(unsigned thread, Where where) = 0;
  virtual void thread_detach(unsigned thread, Where where) = 0;
  virtual unsigned thread_self() const = 0;
  virtual void thread_yield(Where where) = 0;
  virtual void* slot_get(const void* key) const = 0;
  virtual void slot_set(const void* key, void* value, void (*hook)(void*), Where where) = 0;
  virtual std::int64_t clock_now() = 0;
  virtual void clock_reached(std::int64_t when) = 0;
  virtual int process_fork(Where where) = 0;
  virtual void process_at_fork(void (*prepare)(), void (*parent)(), void (*child)()) = 0;

  /// Changes with each event and each run. From a signal handler, whatever the thread is doing.
  virtual std::uint64_t progress() const noexcept = 0;
  /// Ends the run that is not going on. From a signal handler.
  [[noreturn]] virtual void hang() = 0;

  virtual unsigned choose(unsigned count, Where where) = 0;
  virtual unsigned fail_allocations(unsigned most, Where where) = 0;
  virtual unsigned fail_threads(unsigned most, Where where) = 0;
  [[noreturn]] virtual void abandon(Where where) = 0;
  [[noreturn]] virtual void fail(Verdict verdict, const std::string& message, Where where, Where other) = 0;
};

/// The machine whose thread is running; null outside of runs and in the checker's own code, and in system
/// threads of the process that check nothing.
extern thread_local constinit Machine* running_machine;

/// Whether the test framework knows that an assertion has failed in this check.
extern bool assertions_told;

/// The checker's own code inside a run: what it allocates is not the test's.
///
/// Thread safety: one thread.
class Inside {
 public:
  Inside() noexcept : machine_(running_machine) { running_machine = nullptr; }
  ~Inside() { running_machine = machine_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Machine* machine_;
};

}  // namespace interleave
