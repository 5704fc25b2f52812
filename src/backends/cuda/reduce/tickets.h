// Words on the device in which the blocks of a split reduction count how many of them have ended.
#pragma once

#include <array>
#include <bitset>

#include "backends/cuda/reduce/ticket_words.h"
#include "sync/mutex.h"

namespace millrace::cuda {

/// Which sets of words somebody has; one is taken on all devices at once.
///
/// Thread safety: all members from any thread.
class TicketSets {
 public:
  /// Those of the process.
  static TicketSets& all() noexcept;
  /// The number of one that is nobody else's from here on; -1 where all are taken.
  int take() noexcept EXCLUDES(mutex_);
  void give_back(int number) noexcept EXCLUDES(mutex_);

 private:
  sync::Mutex mutex_;
  std::bitset<kTicketSets> taken_ GUARDED_BY(mutex_);
};

/// Sets of kMostSplitTiles words that are 0 between reductions, for one stream's use: one for each reduction
/// of a launch. There are a few hundred for all streams of the process; what is not to be had is not needed
/// (launch_reduce).
///
/// Invariants (docs/concurrency.md):
///   C13  The tickets that a launch counts with are its stream's alone until the stream gives them back.
///
/// Thread safety: one thread at a time; those of several streams at once.
class Tickets {
 public:
  explicit Tickets(TicketSets& sets = TicketSets::all()) noexcept : sets_(sets) {}
  Tickets(const Tickets&) = delete;
  Tickets& operator=(const Tickets&) = delete;
  ~Tickets() { give_back(); }

  static constexpr int kMost = 8;

  /// A set, by its number among the stream's. Of the device whose context is current, always the same one.
  /// Null where all are taken, and from kMost on.
  unsigned* words(int which = 0) noexcept;
  /// No reduction uses them any more.
  void give_back() noexcept;

 private:
  struct Set {
    int number = -1;
    unsigned* words = nullptr;
  };
  TicketSets& sets_;
  std::array<Set, kMost> own_;
};

}  // namespace millrace::cuda
