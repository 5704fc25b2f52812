// All figures that the allocator has of its memory.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "memory/allocator.h"

namespace millrace {
namespace {

/// Of two sums that only grow, read while they do.
MemoryFigure figure(std::uint64_t allocated, std::uint64_t freed, std::int64_t peak) noexcept {
  const std::uint64_t current = allocated - std::min(allocated, freed);
  return {current, std::max(current, static_cast<std::uint64_t>(std::max<std::int64_t>(peak, 0))), allocated,
          freed};
}

MemoryFigures figures(std::pair<std::uint64_t, std::uint64_t> all,
                      std::pair<std::uint64_t, std::uint64_t> large, std::int64_t peak,
                      std::int64_t small_peak, std::int64_t large_peak) noexcept {
  return {figure(all.first, all.second, peak),
          figure(all.first - large.first, all.second - large.second, small_peak),
          figure(large.first, large.second, large_peak)};
}

/// The figures of what is live, with what is pending beside it.
void add_pending(MemoryFigure& figure, std::int64_t pending, std::int64_t peak) noexcept {
  const auto more = static_cast<std::uint64_t>(std::max<std::int64_t>(pending, 0));
  figure.current += more;
  figure.freed -= std::min(figure.freed, more);
  figure.peak = std::max(figure.current, static_cast<std::uint64_t>(std::max<std::int64_t>(peak, 0)));
}

void count(MemoryFigures& figures, bool large, std::uint64_t value) noexcept {
  for (MemoryFigure* each : {&figures.all, large ? &figures.large : &figures.small})
    each->peak = each->current += value;
}

/// Free ranges of segments that have others, and what is pending.
///
/// Thread safety: one thread.
struct Inactive {
  MemoryFigures blocks, bytes;
  std::uint64_t small_requested = 0, large_requested = 0;
  Amount small_pending, large_pending;

  void add(const MemorySegment& segment) noexcept {
    const auto is_active = [](const MemoryBlock& block) {
      return block.state == MemoryState::live || block.state == MemoryState::pending;
    };
    const bool split = std::ranges::any_of(segment.blocks, is_active);
    for (const MemoryBlock& block : segment.blocks) {
      (segment.large ? large_requested : small_requested) += block.requested;
      if (block.state == MemoryState::pending)
        (segment.large ? large_pending : small_pending) += {static_cast<std::int64_t>(block.bytes), 1};
      if (!split || is_active(block)) continue;
      count(blocks, segment.large, 1);
      count(bytes, segment.large, block.bytes);
    }
  }
};

/// What of a figure was asked for: now, and of all that was allocated.
void reduce_to(MemoryFigure& figure, std::uint64_t requested, std::uint64_t unasked) noexcept {
  figure.current = requested;
  // Read beside threads that count, it may be one's and not yet the other's, and so less than nothing.
  if (static_cast<std::int64_t>(unasked) > 0) figure.allocated -= std::min(unasked, figure.allocated);
  figure.freed = figure.allocated - std::min(requested, figure.allocated);
}

}  // namespace

MemoryStatistics Allocator::statistics() {
  publish_own_peak();
  const Totals sum = totals();
  const BlockFigures peak = peaks_.value();
  const SegmentFigures::Figures taken = source_.figures.value();
  Inactive inactive;
  for (const MemorySegment& segment : segments()) inactive.add(segment);

  MemoryStatistics all;
  all.allocations = figures({sum.allocations, sum.frees}, {sum.large_allocations, sum.large_frees},
                            peak.live.blocks, peak.small_live.blocks, peak.large_live.blocks);
  all.allocated_bytes =
      figures({sum.allocated_bytes, sum.freed_bytes}, {sum.large_allocated_bytes, sum.large_freed_bytes},
              peak.live.bytes, peak.small_live.bytes, peak.large_live.bytes);
  all.requested_bytes = all.allocated_bytes;
  reduce_to(all.requested_bytes.all, inactive.small_requested + inactive.large_requested,
            sum.small_unasked + sum.large_unasked);
  reduce_to(all.requested_bytes.small, inactive.small_requested, sum.small_unasked);
  reduce_to(all.requested_bytes.large, inactive.large_requested, sum.large_unasked);
  all.active = all.allocations;
  all.active_bytes = all.allocated_bytes;
  const Amount pending = inactive.small_pending + inactive.large_pending;
  add_pending(all.active.all, pending.blocks, peak.active.blocks);
  add_pending(all.active.small, inactive.small_pending.blocks, peak.small_active.blocks);
  add_pending(all.active.large, inactive.large_pending.blocks, peak.large_active.blocks);
  add_pending(all.active_bytes.all, pending.bytes, peak.active.bytes);
  add_pending(all.active_bytes.small, inactive.small_pending.bytes, peak.small_active.bytes);
  add_pending(all.active_bytes.large, inactive.large_pending.bytes, peak.large_active.bytes);
  all.segments = taken.segments;
  all.segment_bytes = taken.bytes;
  all.inactive_split = inactive.blocks;
  all.inactive_split_bytes = inactive.bytes;
  all.device_allocations = taken.gained;
  all.device_frees = taken.lost;
  // relaxed: statistics.
  all.retries = retries_.load(std::memory_order_relaxed);
  all.out_of_memory = out_of_memory_.load(std::memory_order_relaxed);
  return all;
}

}  // namespace millrace
