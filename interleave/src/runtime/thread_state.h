// A thread of a run.
#pragma once

#include <cstdint>

#include "engine/event.h"
#include "runtime/fiber.h"

namespace interleave {

constexpr int kMaxThreads = 32;
constexpr int kMostEvents = 2048;  // of a run, in the largest engine

enum class State : std::uint8_t {
  unused,
  ready,
  waiting,  // until something has happened that other threads do
  stuck,    // its last event blocks: it goes on in other executions
  finished,
};

enum class Wait : std::uint8_t {
  exit,    // of a thread
  unlock,  // by the owner before
  value,   // of a location
  others,  // none of them can go on
};

struct Slot {
  const void* key;
  void* value;
  void (*hook)(void*);
};

/// What a loop that waits has read since it last did anything but load. The loads themselves are the thread's
/// latest events, and are looked at when the loop yields or seems to go round in vain.
///
/// Thread safety: a value.
struct Spin {
  static constexpr int kLoads = 16;  // in a round of a loop that yields
  static constexpr int kNever = -1;
  static constexpr int kIdle = 1000;  // yields with nothing in between, after which the loop goes on for ever
  struct Load {
    std::int16_t event;
    std::uint16_t location;
    std::int16_t source;
    unsigned line;
    bool operator==(const Load& other) const noexcept {
      return location == other.location && source == other.source && line == other.line;
    }
  };
  struct Round {
    int count = 0;
    unsigned line = 0;
    Load loads[kLoads];
  };
  Round last, now;           // between yields
  int idle = 0;              // yields in a row
  std::int64_t idle_at = 0;  // the thread's time then
  int yielded = 0;  // so many events of the thread ago; kNever: it has done something else than load since

  // Without yields: what the thread's stack was when a round began.
  int loads_from = 0;          // the thread's events from that number on are all loads
  int period = 0;              // loads in a round
  int snapshot_at = 0;         // events of the thread then
  std::uint64_t snapshot = 0;  // 0: none

  void start() noexcept {
    last.count = idle = yielded = loads_from = period = 0;
    snapshot = 0;
  }
};

/// Everything of a thread that a run starts anew.
///
/// Thread safety: a value.
template <int W>
struct ThreadState {
  static constexpr int kSlots = 16;

  State state = State::unused;
  Wait wait = Wait::exit;
  bool look_again = false;         // Wait::value: something was stored there
  bool soft = false;               // Wait::unlock: if it does not come, the run is not one that can be
  bool spurious = false;           // it has just woken for no reason
  bool joined = false;             // or detached
  Access waits_by = Access::load;  // Wait::value
  std::int16_t awaited = 0;        // thread, lock event or location
  std::int16_t exit = kNone;       // its exit event, once it has happened in this run
  Frontier<W> front;               // as it was before `latest`, if that is behind
  bool behind = false;
  std::int16_t latest = kNone;       // event; of a thread that has none, the one that made it
  std::uint16_t count = 0;           // events
  Number<W> events[64 * W];          // those, in order
  std::uint32_t joins = 0;           // threads joined since
  unsigned failing_allocations = 0;  // at most so many more
  unsigned failing_threads = 0;      // that it starts, as above
  Where where;                       // its latest operation
  const char* doing = "";
  void (*run)(void*) = nullptr;
  void* closure = nullptr;
  std::int64_t time = 0;
  Spin spin;
  int slot_count = 0;
  Slot slots[kSlots];

  /// It has done something else than load.
  void interrupt_spinning() noexcept {
    spin.yielded = Spin::kNever;
    spin.loads_from = count;
    spin.snapshot = 0;
  }

  void did(int e) noexcept {
    latest = static_cast<std::int16_t>(e);
    behind = true;
    joins = 0;
    events[count++] = static_cast<Number<W>>(e);
  }

  /// As after construction; what counts say is not there is left as it is.
  void start() noexcept {
    state = State::ready;
    look_again = soft = spurious = joined = false;
    exit = kNone;
    behind = true;
    latest = kNone;
    count = 0;
    joins = 0;
    failing_allocations = failing_threads = 0;
    where = Where();
    doing = "";
    time = 0;
    slot_count = 0;
    spin.start();
  }
};

}  // namespace interleave
