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

/// What a loop that waits has read since it last went round, or did anything but load.
///
/// Thread safety: a value.
struct Spin {
  static constexpr int kLoads = 16;
  struct Round {
    int count = 0;  // kLoads + 1: too many
    Where where;
    std::int16_t events[kLoads];
  };
  Round last, now;
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
  }
};

}  // namespace interleave
