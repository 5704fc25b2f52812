// A thread of a run.
#pragma once

#include <cstdint>

#include "engine/event.h"
#include "runtime/fiber.h"

namespace interleave {

constexpr int kMaxThreads = 32;

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

/// What a loop that waits has read since it last did anything but load.
///
/// Thread safety: a value.
struct Spin {
  static constexpr int kLoads = 16;
  static constexpr int kLongest = 4;  // loads in a round of a loop that is found without a yield in it
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
    int count = 0;  // kLoads + 1: not only loads
    unsigned line = 0;
    Load loads[kLoads];
  };
  Round last, now;  // between yields

  // Without yields: the latest loads, and what the thread's stack was when a round began.
  int loads = 0;
  Load latest[2 * kLongest];
  int period = 0;              // of the rounds, if they seem to be some
  int snapshot_age = 0;        // loads since
  std::uint64_t snapshot = 0;  // 0: none

  void interrupt() noexcept {
    now.count = kLoads + 1;
    loads = period = 0;
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
  Frontier<W> front;
  Bits<W> events;  // that have happened in this run
  Where where;     // its latest operation
  const char* doing = "";
  void (*run)(void*) = nullptr;
  void* closure = nullptr;
  std::int64_t time = 0;
  Spin spin;
  int slot_count = 0;
  Slot slots[kSlots];

  /// As after construction; what counts say is not there is left as it is.
  void start() noexcept {
    state = State::ready;
    look_again = soft = spurious = joined = false;
    exit = kNone;
    front = Frontier<W>();
    events = Bits<W>();
    where = Where();
    doing = "";
    time = 0;
    slot_count = 0;
    spin.last.count = spin.now.count = 0;
    spin.loads = spin.period = 0;
    spin.snapshot = 0;
  }
};

}  // namespace interleave
