// torch.cuda.memory's snapshot and history.
#include <c10/core/AllocatorConfig.h>
#include <c10/cuda/CUDAAllocatorConfig.h>
#include <c10/cuda/CUDAFunctions.h>

#include <utility>

#include "allocator.h"
#include "errors.h"

namespace millrace_torch {
namespace {

using c10::CachingDeviceAllocator::BlockInfo;
using c10::CachingDeviceAllocator::SegmentInfo;
using c10::CachingDeviceAllocator::TraceEntry;

/// Free memory that adjoins is one block, whoever keeps it.
bool is_free(const millrace::MemoryBlock& block) noexcept {
  return block.state == millrace::MemoryState::free || block.state == millrace::MemoryState::cached;
}

void add_block(SegmentInfo& segment, const millrace::MemoryBlock& block, const History& history) {
  const bool joins = is_free(block) && !segment.blocks.empty() && !segment.blocks.back().active;
  if (joins) {
    segment.blocks.back().size += block.bytes;
    return;
  }
  BlockInfo info;
  info.size = block.bytes;
  info.allocated = block.state == millrace::MemoryState::live;
  info.active = !is_free(block);
  if (info.allocated) {
    info.requested_size = block.requested;
    if (auto live = history.find_live(block.address)) info.context_when_allocated = std::move(live->context);
    segment.allocated_size += info.size;
    segment.requested_size += info.requested_size;
  }
  if (info.active) segment.active_size += info.size;
  segment.blocks.push_back(std::move(info));
}

void add_segments(DeviceMemory& memory, MempoolId_t pool, const History& history,
                  std::vector<SegmentInfo>& all) {
  for (const millrace::MemorySegment& found : memory.device().memory_segments()) {
    const MempoolId_t owner = memory.pools().id_of(found.pool);
    if (pool != MempoolId_t{0, 0} && owner != pool) continue;
    SegmentInfo segment;
    segment.owner_private_pool_id = owner;
    segment.device = memory.index();
    segment.address = reinterpret_cast<std::size_t>(found.address);
    segment.total_size = found.bytes;
    segment.stream = memory.streams().handle_of(found.stream);
    segment.is_large = found.large;
    segment.is_expandable = memory.expands(found.pool);
    for (const millrace::MemoryBlock& block : found.blocks) add_block(segment, block, history);
    all.push_back(std::move(segment));
  }
}

caching::AllocatorConfigInfo config(bool expandable) {
  using c10::CachingAllocator::AcceleratorAllocatorConfig;
  caching::AllocatorConfigInfo info{};
  info.garbage_collection_threshold = AcceleratorAllocatorConfig::garbage_collection_threshold();
  info.max_split_size = AcceleratorAllocatorConfig::max_split_size();
  info.pinned_num_register_threads = caching::CUDAAllocatorConfig::pinned_num_register_threads();
  info.expandable_segments = expandable;
  info.release_lock_on_malloc = caching::CUDAAllocatorConfig::release_lock_on_cudamalloc();
  info.pinned_use_host_register = caching::CUDAAllocatorConfig::pinned_use_cuda_host_register();
  info.graph_capture_record_stream_reuse = caching::CUDAAllocatorConfig::graph_capture_record_stream_reuse();
  info.last_allocator_settings = AcceleratorAllocatorConfig::last_allocator_settings();
  info.roundup_power2_divisions = AcceleratorAllocatorConfig::roundup_power2_divisions();
  return info;
}

}  // namespace

caching::SnapshotInfo CudaAllocator::snapshot(MempoolId_t pool, bool include_traces) {
  caching::SnapshotInfo snapshot;
  const History& history = observers_.history();
  for (int i = 0; i < device_count(); ++i) {
    const auto index = static_cast<c10::DeviceIndex>(i);
    // As torch has it: a snapshot's own entry is in the next one.
    snapshot.device_traces.push_back(include_traces ? history.entries(index) : std::vector<TraceEntry>());
    if (DeviceMemory* const memory = find_memory(index)) {
      std::size_t total = 0;
      const std::size_t first = snapshot.segments.size();
      translated([&] { add_segments(*memory, pool, history, snapshot.segments); });
      for (std::size_t s = first; s < snapshot.segments.size(); ++s) total += snapshot.segments[s].total_size;
      if (history.is_on()) observers_.history().add(index, TraceEntry::SNAPSHOT, 0, total, nullptr, nullptr);
    }
  }
  if (include_traces) snapshot.external_annotations = history.annotations();
  snapshot.config_metadata = config(options_.expandable && !options_.native_geometry);
  return snapshot;
}

void CudaAllocator::recordHistory(bool enabled, caching::CreateContextFn context_recorder,
                                  std::size_t most_entries, caching::RecordContext when, bool clear,
                                  const std::vector<std::string>& skipped) {
  observers_.history().record(enabled, context_recorder, most_entries, when, clear, skipped);
}

void CudaAllocator::recordAnnotation(const std::vector<std::pair<std::string, std::string>>& metadata) {
  observers_.history().annotate(c10::cuda::current_device(), metadata);
}

void CudaAllocator::attachOutOfMemoryObserver(caching::OutOfMemoryObserver observer) {
  observers_.attach(std::move(observer));
}

void CudaAllocator::attachAllocatorTraceTracker(caching::AllocatorTraceTracker tracker) {
  observers_.history().attach(std::move(tracker));
}

}  // namespace millrace_torch
