// How much memory a device has given, in how many pieces: of small and of large blocks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <millrace/memory_statistics.h>

#include "sync/mutex.h"

namespace millrace {

/// Exact at any time, peaks too. A segment is a range without holes: growth in place makes it longer, and
/// giving back its middle makes two.
///
/// Thread safety: all members from any thread.
class SegmentFigures {
 public:
  struct Figures {
    MemoryFigures segments, bytes;
    std::uint64_t gained = 0, lost = 0;  ///< changes
  };

  /// A range was committed, which lies between memory of the same space on so many sides.
  void gain(bool large, std::size_t bytes, int joined) noexcept {
    sync::LockGuard lock(mutex_);
    ++figures_.gained;
    add(figures_.bytes, large, bytes);
    if (joined == 0) add(figures_.segments, large, 1);
    if (joined == 2) subtract(figures_.segments, large, 1);
  }
  /// The same backwards.
  void lose(bool large, std::size_t bytes, int joined) noexcept {
    sync::LockGuard lock(mutex_);
    ++figures_.lost;
    subtract(figures_.bytes, large, bytes);
    if (joined == 0) subtract(figures_.segments, large, 1);
    if (joined == 2) add(figures_.segments, large, 1);
  }
  Figures value() noexcept {
    sync::LockGuard lock(mutex_);
    return figures_;
  }
  void reset_peaks() noexcept {
    sync::LockGuard lock(mutex_);
    for (MemoryFigures* each : {&figures_.segments, &figures_.bytes}) {
      for (MemoryFigure* figure : {&each->all, &each->small, &each->large}) figure->peak = figure->current;
    }
  }

 private:
  static void add(MemoryFigures& figures, bool large, std::uint64_t value) noexcept {
    for (MemoryFigure* figure : {&figures.all, large ? &figures.large : &figures.small}) {
      figure->current += value;
      figure->allocated += value;
      figure->peak = std::max(figure->peak, figure->current);
    }
  }
  static void subtract(MemoryFigures& figures, bool large, std::uint64_t value) noexcept {
    for (MemoryFigure* figure : {&figures.all, large ? &figures.large : &figures.small}) {
      figure->current -= value;
      figure->freed += value;
    }
  }

  sync::Mutex mutex_;  // a leaf
  Figures figures_ GUARDED_BY(mutex_);
};

}  // namespace millrace
