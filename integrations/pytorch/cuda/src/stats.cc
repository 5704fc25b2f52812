// torch.cuda.memory_stats, from the core's figures.
#include <c10/cuda/CUDACachingAllocator.h>

#include "allocator.h"
#include "errors.h"

namespace millrace_torch {
namespace {

using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingAllocator::StatType;

void set(StatArray& array, std::uint64_t up, std::uint64_t up_before, std::uint64_t down,
         std::uint64_t down_before, std::uint64_t peak) {
  Stat& stat = array[static_cast<std::size_t>(StatType::AGGREGATE)];
  stat.current = static_cast<std::int64_t>(up - down);
  stat.peak = std::max(stat.current, static_cast<std::int64_t>(peak));
  stat.allocated = static_cast<std::int64_t>(up - up_before);
  stat.freed = static_cast<std::int64_t>(down - down_before);
}

}  // namespace

c10::CachingDeviceAllocator::DeviceStats CudaAllocator::getDeviceStats(c10::DeviceIndex index) {
  check_device(index, device_count());
  c10::CachingDeviceAllocator::DeviceStats stats;
  stats.max_split_size = -1;
  DeviceMemory* const memory = find_memory(index);
  if (memory == nullptr) return stats;
  const millrace::MemoryStats now = translated([&] { return memory->device().memory(); });
  const millrace::MemoryStats base = memory->stats_base();
  set(stats.allocation, now.allocations, base.allocations, now.frees, base.frees, 0);
  set(stats.active, now.allocations, base.allocations, now.frees, base.frees, 0);
  set(stats.allocated_bytes, now.allocated_bytes, base.allocated_bytes, now.freed_bytes, base.freed_bytes,
      now.peak_live);
  set(stats.requested_bytes, now.allocated_bytes, base.allocated_bytes, now.freed_bytes, base.freed_bytes,
      now.peak_live);
  set(stats.active_bytes, now.allocated_bytes, base.allocated_bytes, now.freed_bytes, base.freed_bytes,
      now.peak_live);
  set(stats.segment, now.heaps_created, base.heaps_created, now.heaps_released, base.heaps_released, 0);
  set(stats.reserved_bytes, now.committed, 0, 0, 0, now.peak_committed);
  stats.num_ooms = static_cast<std::int64_t>(now.out_of_memory - base.out_of_memory);
  stats.num_device_alloc = static_cast<std::int64_t>(now.heaps_created - base.heaps_created);
  stats.num_device_free = static_cast<std::int64_t>(now.heaps_released - base.heaps_released);
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
