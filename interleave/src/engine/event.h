// The nodes of an execution graph.
#pragma once

#include <atomic>
#include <cstdint>

#include "engine/bits.h"
#include "interleave/detail/runtime.h"

namespace interleave {

enum class Kind : std::uint8_t {
  load,  // also a read-modify-write that did not write: a failed compare-exchange
  store,
  rmw,  // reads and writes, one event
  fence,
  create,  // of a thread
  exit,
  lock,  // a place in the order of a mutex's owners: an rmw of a location of tickets
  unlock,
  notify,  // of an atomic's waiters
  choice,
  fork,  // of the process: value 0 in the parent, 1 in the child
};

/// Orders by strength where they compare. `plain` is not atomic: it synchronises with nothing and races.
enum class Order : std::uint8_t { plain, relaxed, acquire, release, acq_rel, seq_cst };

constexpr bool acquires(Order order) noexcept {
  return order == Order::acquire || order >= Order::acq_rel;
}
constexpr bool releases(Order order) noexcept {
  return order >= Order::release;
}
constexpr Order to_order(std::memory_order order) noexcept {
  switch (order) {
    case std::memory_order_relaxed: return Order::relaxed;
    case std::memory_order_consume:
    case std::memory_order_acquire: return Order::acquire;
    case std::memory_order_release: return Order::release;
    case std::memory_order_acq_rel: return Order::acq_rel;
    default: return Order::seq_cst;
  }
}

constexpr bool fits_load(std::memory_order order) noexcept {
  return order != std::memory_order_release && order != std::memory_order_acq_rel;
}
constexpr bool fits_store(std::memory_order order) noexcept {
  return order == std::memory_order_relaxed || order == std::memory_order_release ||
         order == std::memory_order_seq_cst;
}

/// How a reading operation takes the value it reads.
enum class Access : std::uint8_t {
  load,
  modify,
  compare_exchange,  // writes if the value is the argument
  await_equal,       // blocks unless the value is the argument
  await_different,   // blocks while it is
  atomic_wait,       // the same, and to be woken by a notify
  await_code,        // blocks unless code says otherwise: known only when the thread runs
  acquire,           // of a semaphore: takes one, blocks at zero
  try_acquire,       // the same without blocking
  once,              // 0: not done, takes it on; 1: being done, blocks; 2: done
  wake,              // of a condition variable: blocks unless the argument's bit is set
  wake_or_leave,     // ... or goes without
  notify_one,        // of a condition variable: wakes the waiter chosen
  notify_all,
  lock,
  try_lock,
};

/// Whether some values make it block.
constexpr bool waits(Access access) noexcept {
  switch (access) {
    case Access::await_equal:
    case Access::await_different:
    case Access::atomic_wait:
    case Access::await_code:
    case Access::acquire:
    case Access::once:
    case Access::wake: return true;
    default: return false;
  }
}

enum class Outcome : std::uint8_t { reads, writes, blocks };

/// A condition variable's value: waiting threads in the lower half, threads woken in the upper.
constexpr int kWokenShift = 32;
constexpr std::uint64_t kWaiting = 0xffffffff;

inline Outcome outcome(Access access, std::uint64_t argument, std::uint64_t value) noexcept {
  const auto writes_if = [](bool writes, Outcome otherwise) { return writes ? Outcome::writes : otherwise; };
  switch (access) {
    case Access::load:
    case Access::await_code: return Outcome::reads;
    case Access::modify:
    case Access::wake_or_leave:
    case Access::lock:
    case Access::try_lock: return Outcome::writes;
    case Access::compare_exchange: return writes_if(value == argument, Outcome::reads);
    case Access::await_equal: return value == argument ? Outcome::reads : Outcome::blocks;
    case Access::atomic_wait:
    case Access::await_different: return value != argument ? Outcome::reads : Outcome::blocks;
    case Access::acquire: return writes_if(value != 0, Outcome::blocks);
    case Access::try_acquire: return writes_if(value != 0, Outcome::reads);
    case Access::once: return value == 2 ? Outcome::reads : writes_if(value == 0, Outcome::blocks);
    case Access::wake: return writes_if((value & argument) != 0, Outcome::blocks);
    case Access::notify_one:
    case Access::notify_all: return writes_if((value & kWaiting) != 0, Outcome::reads);
  }
  return Outcome::reads;
}

/// Loads in a round of a loop that goes on for ever, if it is to be noticed without a yield in it.
constexpr int kLongestRound = 4;

constexpr int kNone = -1;  // no event; as a read's source: the location's initial value

template <int W>
struct Event {
  Bits<W> hb;                  // what happens before it
  Bits<W> porf;                // what it depends on: program order and reads-from, transitively
  Bits<W> sync;                // a write: what whoever acquires it learns to have happened before
  Bits<W> pending;             // what acquire fences behind it learn: from relaxed loads
  std::uint64_t value;         // written, or chosen
  std::uint64_t argument;      // of its access
  std::uint32_t joined;        // threads joined since the event before it in its thread
  std::int16_t before;         // in its thread; a thread's first: the event that made the thread
  std::int16_t source;         // the write read
  std::int16_t release_fence;  // the last one before it in its thread
  std::int16_t partner;        // lock: its unlock; unlock: its lock; create: the first of the thread made
  std::int16_t after;          // in its thread
  std::uint16_t location;      // create: the thread made
  std::uint16_t index;         // in its thread
  std::uint16_t place;         // a write: in modification order, from 0
  std::uint8_t thread;
  std::uint8_t choice;  // notify_one: the thread it wakes; choice: how many there are
  Kind kind;
  Access access;
  Order order;    // in effect
  Order success;  // order, if it writes
  Order failure;  // order, if it does not
  bool unplaced;  // its thread has not yet done what follows from its source
  bool blocked;   // its thread waits for another source
  bool repeats;   // a load: it and those just before it in its thread seem to be rounds of a loop in vain

  /// Event e is the next one that has this one as its `before`.
  void precede(int e, const Event& next) noexcept {
    (next.index == 0 && kind == Kind::create ? partner : after) = static_cast<std::int16_t>(e);
  }

  bool reads() const noexcept { return kind == Kind::load || writes_too(); }
  bool writes() const noexcept { return kind == Kind::store || writes_too(); }
  bool writes_too() const noexcept { return kind == Kind::rmw || kind == Kind::lock; }
};

/// What a new event of a thread starts from.
template <int W>
struct Frontier {
  Bits<W> hb, porf, pending;
  std::uint32_t joined = 0;
  std::int16_t before = kNone;
  std::int16_t release_fence = kNone;
  std::uint16_t count = 0;  // events of the thread so far
};

}  // namespace interleave
