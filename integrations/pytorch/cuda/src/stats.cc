// torch.cuda.memory_stats, from the core's figures.
#include <c10/cuda/CUDACachingAllocator.h>

#include <algorithm>
#include <cstdint>

#include "allocator.h"
#include "errors.h"

namespace millrace_torch {
namespace {

using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingAllocator::StatType;

/// What a total has grown by. Of what was asked for it may be less than before for a moment: who rounds up
/// says so only after the allocation.
std::int64_t since(std::uint64_t base, std::uint64_t now) {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(now - base));
}

void set(Stat& stat, const millrace::MemoryFigure& now, const millrace::MemoryFigure& base) {
  stat.current = static_cast<std::int64_t>(now.current);
  stat.peak = static_cast<std::int64_t>(now.peak);
  stat.allocated = since(base.allocated, now.allocated);
  stat.freed = since(base.freed, now.freed);
}

void set(StatArray& array, const millrace::MemoryFigures& now, const millrace::MemoryFigures& base) {
  set(array[static_cast<std::size_t>(StatType::AGGREGATE)], now.all, base.all);
  set(array[static_cast<std::size_t>(StatType::SMALL_POOL)], now.small, base.small);
  set(array[static_cast<std::size_t>(StatType::LARGE_POOL)], now.large, base.large);
}

}  // namespace

c10::CachingDeviceAllocator::DeviceStats CudaAllocator::getDeviceStats(c10::DeviceIndex index) {
  check_device(index, device_count());
  c10::CachingDeviceAllocator::DeviceStats stats;
  stats.max_split_size = -1;  // torch's word for none
  DeviceMemory* const memory = find_memory(index);
  if (memory == nullptr) return stats;
  const millrace::MemoryStatistics now = translated([&] { return memory->device().memory_statistics(); });
  const millrace::MemoryStatistics base = memory->stats_base();
  set(stats.allocation, now.allocations, base.allocations);
  set(stats.segment, now.segments, base.segments);
  set(stats.active, now.active, base.active);
  set(stats.inactive_split, now.inactive_split, base.inactive_split);
  set(stats.allocated_bytes, now.allocated_bytes, base.allocated_bytes);
  set(stats.reserved_bytes, now.segment_bytes, base.segment_bytes);
  set(stats.active_bytes, now.active_bytes, base.active_bytes);
  set(stats.inactive_split_bytes, now.inactive_split_bytes, base.inactive_split_bytes);
  set(stats.requested_bytes, now.requested_bytes, base.requested_bytes);
  stats.num_alloc_retries = static_cast<std::int64_t>(now.retries - base.retries);
  stats.num_ooms = static_cast<std::int64_t>(now.out_of_memory - base.out_of_memory);
  stats.num_device_alloc = static_cast<std::int64_t>(now.device_allocations - base.device_allocations);
  stats.num_device_free = static_cast<std::int64_t>(now.device_frees - base.device_frees);
  return stats;
}

void CudaAllocator::resetAccumulatedStats(c10::DeviceIndex index) {
  check_device(index, device_count());
  if (DeviceMemory* const memory = find_memory(index)) translated([&] { memory->begin_counting_anew(); });
}

void CudaAllocator::resetPeakStats(c10::DeviceIndex index) {
  check_device(index, device_count());
  if (DeviceMemory* const memory = find_memory(index)) translated([&] { memory->device().reset_peaks(); });
}

std::vector<caching::StreamSegmentSize> CudaAllocator::getExpandableSegmentSizes(c10::DeviceIndex index) {
  check_device(index, device_count());
  std::vector<caching::StreamSegmentSize> sizes;
  DeviceMemory* const memory = find_memory(index);
  if (memory == nullptr) return sizes;
  for (const millrace::MemorySegment& segment :
       translated([&] { return memory->device().memory_segments(); }))
    sizes.emplace_back(memory->streams().handle_of(segment.stream), !segment.large, segment.bytes);
  return sizes;
}

}  // namespace millrace_torch
