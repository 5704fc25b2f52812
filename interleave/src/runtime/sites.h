// Which threads came by which lines.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "interleave/check.h"

namespace interleave {

/// For Options::sites: a table in memory that all workers share. What does not fit is counted.
///
/// Only an event's first execution has to be noted: whoever replays it does what a thread of its number has
/// done at the same line before.
///
/// Thread safety: note from any process forked since construction; the rest in one.
class Sites {
 public:
  /// Throws std::bad_alloc when the system has no shared memory for it.
  Sites();
  ~Sites();
  Sites(const Sites&) = delete;
  Sites& operator=(const Sites&) = delete;

  void note(Where where, int thread) noexcept;
  /// In the order of files and lines, each once.
  std::vector<Site> all() const;
  /// Notes of lines for which there was no room.
  std::uint64_t lost() const noexcept { return table_->lost.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kSlots = 1 << 13;

  struct Slot {
    std::atomic<std::uint64_t> place;  // 0: nobody's
    std::atomic<std::uint32_t> threads;
  };
  struct Table {
    std::atomic<std::uint64_t> lost;
    Slot slots[kSlots];
  };
  Table* table_;
};

}  // namespace interleave
