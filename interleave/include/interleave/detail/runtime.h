// What the primitives' templates call. Not for users.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "interleave/where.h"

namespace interleave::detail {

/// The checker's part of an object that threads share; all zero until a run touches it.
struct Cell {
  mutable std::uint32_t run = 0;       // the run that the rest belongs to
  mutable std::uint16_t location = 0;  // in the execution's graph
  mutable std::uint16_t made = 0;      // the constructing thread's time
  mutable std::uint8_t maker = 0;      // the constructing thread
  mutable std::uint8_t state = 0;
};

enum class Rmw : std::uint8_t {
  exchange,
  add,
  subtract,
  bit_and,
  bit_or,
  bit_xor,
  add_float,
  add_double,
  sub_float,
  sub_double
};

/// What a waiting read waits for, as far as it can be said without code.
enum class Want : std::uint8_t { anything, equal, not_equal, any_bit, by_code };

/// A value of up to 8 bytes and what to do with it.
struct Modify {
  Rmw what;
  std::uint8_t bytes;
  std::uint64_t operand;
};

bool running() noexcept;  // called from a thread of a run

void construct(const Cell& cell, Where where) noexcept;
void destroy(const Cell& cell, Where where) noexcept;

std::uint64_t load(const Cell& cell, std::uint64_t initial, std::memory_order order, Where where);
/// False outside of runs: there is nobody to store it.
bool store(const Cell& cell, std::uint64_t initial, std::uint64_t value, std::memory_order order,
           Where where);
std::uint64_t modify(const Cell& cell, std::uint64_t initial, Modify how, std::memory_order order,
                     Where where);
/// The value read; it was replaced iff it equals expected.
std::uint64_t compare_exchange(const Cell& cell, std::uint64_t initial, std::uint64_t expected,
                               std::uint64_t desired, std::memory_order success, std::memory_order failure,
                               Where where);
void fence(std::memory_order order, Where where);

/// Whether a value ends the wait; null for the Wants that need no code.
using Predicate = bool (*)(const void* context, std::uint64_t value);
std::uint64_t await(const Cell& cell, std::uint64_t initial, Want want, std::uint64_t operand,
                    Predicate predicate, const void* context, std::memory_order order, Where where);
/// C++20 wait: returns when a load does not give old; to be woken by notify.
void atomic_wait(const Cell& cell, std::uint64_t initial, std::uint64_t old, std::memory_order order,
                 Where where);
void atomic_notify(const Cell& cell, bool all, Where where);

std::uint64_t modify_value(Modify how, std::uint64_t old) noexcept;

void mutex_lock(const Cell& cell, Where where);
bool mutex_try_lock(const Cell& cell, Where where);
void mutex_unlock(const Cell& cell, Where where);

/// Under the mutex, which is given up and taken again. False when it timed out.
bool condition_wait(const Cell& cell, const Cell& mutex, bool timed, Where where);
void condition_notify(const Cell& cell, bool all, Where where);

void semaphore_acquire(const Cell& cell, std::uint64_t initial, Where where);
bool semaphore_try_acquire(const Cell& cell, std::uint64_t initial, Where where);
void semaphore_release(const Cell& cell, std::uint64_t initial, std::ptrdiff_t count, std::ptrdiff_t most,
                       Where where);
/// It can't be made with this count.
[[noreturn]] void semaphore_misused(std::ptrdiff_t count, std::ptrdiff_t most, Where where);

/// True: the caller is the one to do it, and says how it went by once_end.
bool once_begin(const Cell& cell, Where where);
void once_end(const Cell& cell, bool done, Where where);

/// Plain data wrapped by var.
void plain_read(const void* address, std::size_t bytes, Where where);
void plain_write(const void* address, std::size_t bytes, Where where);
void plain_destroy(const void* address, std::size_t bytes);

/// Room for what a thread is to run, until the end of the run. Throws std::bad_alloc.
void* closure_room(std::size_t bytes, std::size_t alignment, Where where);
/// Starts a thread that runs the closure; the thread's number. Throws std::system_error: none will run it.
unsigned thread_start(void (*run)(void* closure), void* closure, Where where);
void thread_join(unsigned thread, Where where);
void thread_detach(unsigned thread, Where where);
unsigned thread_self() noexcept;  // 0: the body's own
void thread_yield(Where where);

/// A thread's pointer under a key; the hook gets it at the thread's end.
void* slot_get(const void* key) noexcept;
void slot_set(const void* key, void* value, void (*hook)(void*), Where where);

std::int64_t clock_now() noexcept;               // nanoseconds of the run
void clock_reached(std::int64_t when) noexcept;  // the caller waited until then

int process_fork(Where where);
void process_at_fork(void (*prepare)(), void (*parent)(), void (*child)());

}  // namespace interleave::detail
