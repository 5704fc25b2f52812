#include "foreign_memory.h"

#include <c10/cuda/CUDAException.h>

#include <algorithm>
#include <utility>

namespace millrace_torch {

std::size_t ForeignMemory::rounded(std::size_t bytes) noexcept {
  // As torch takes segments: so few sizes that blocks are found again.
  constexpr std::size_t kUnit = std::size_t{2} << 20;
  return (bytes + kUnit - 1) / kUnit * kUnit;
}

bool ForeignMemory::is_done(Block& block) {
  std::erase_if(block.unfinished, [](cudaEvent_t event) {
    const cudaError_t answer = cudaEventQuery(event);
    if (answer == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());
      return false;
    }
    C10_CUDA_CHECK(answer);
    C10_CUDA_CHECK(cudaEventDestroy(event));
    return true;
  });
  return block.unfinished.empty();
}

void* ForeignMemory::allocate(c10::MempoolId_t pool, const Source& source, std::size_t bytes,
                              cudaStream_t stream) {
  const std::size_t size = rounded(bytes);
  {
    const std::lock_guard lock(mutex_);
    for (auto& [address, block] : blocks_) {
      if (block.live || block.released || block.pool != pool || block.stream != stream ||
          block.bytes != size || !is_done(block)) {
        continue;
      }
      block.live = true;
      block.requested = bytes;
      return address;
    }
  }
  void* const address = source->raw_alloc_with_stream(size, stream);
  const std::lock_guard lock(mutex_);
  blocks_.insert_or_assign(
      address, Block{.pool = pool, .source = source, .bytes = size, .requested = bytes, .stream = stream});
  blocks_count_.store(blocks_.size(), std::memory_order_release);  // release: pairs with any
  return address;
}

bool ForeignMemory::free(void* address) {
  Source source;
  {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(address);
    if (found == blocks_.end() || !found->second.live) return false;
    Block& block = found->second;
    block.live = false;
    for (const cudaStream_t stream : std::exchange(block.uses, {})) {
      cudaEvent_t event = nullptr;
      C10_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
      block.unfinished.push_back(event);
      C10_CUDA_CHECK(cudaEventRecord(event, stream));
    }
    if (!block.released) return true;
    for (const cudaEvent_t event : block.unfinished) {
      C10_CUDA_CHECK(cudaEventSynchronize(event));
      C10_CUDA_CHECK(cudaEventDestroy(event));
    }
    source = std::move(block.source);
    blocks_.erase(found);
    blocks_count_.store(blocks_.size(), std::memory_order_release);  // release: as in allocate
  }
  source->raw_delete(address);
  return true;
}

bool ForeignMemory::record_stream(void* address, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end() || !found->second.live) return false;
  std::vector<cudaStream_t>& uses = found->second.uses;
  if (stream != found->second.stream && std::ranges::find(uses, stream) == uses.end()) uses.push_back(stream);
  return true;
}

void ForeignMemory::release(c10::MempoolId_t pool) {
  std::vector<std::pair<void*, Source>> given_back;
  {
    const std::lock_guard lock(mutex_);
    for (auto one = blocks_.begin(); one != blocks_.end();) {
      auto& [address, block] = *one;
      if (block.pool != pool || block.live) {
        block.released = block.released || block.pool == pool;
        ++one;
        continue;
      }
      for (const cudaEvent_t event : block.unfinished) C10_CUDA_CHECK(cudaEventDestroy(event));
      given_back.emplace_back(address, std::move(block.source));
      one = blocks_.erase(one);
    }
    blocks_count_.store(blocks_.size(), std::memory_order_release);  // release: as in allocate
  }
  for (const auto& [address, source] : given_back) source->raw_delete(address);
}

void ForeignMemory::add_segments(c10::DeviceIndex device, c10::MempoolId_t pool,
                                 std::vector<c10::CachingDeviceAllocator::SegmentInfo>& all) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [address, block] : blocks_) {
    if (pool != c10::MempoolId_t{0, 0} && pool != block.pool) continue;
    c10::CachingDeviceAllocator::BlockInfo info;
    info.size = block.bytes;
    info.requested_size = block.live ? block.requested : 0;
    info.allocated = block.live;
    info.active = block.live || !block.unfinished.empty();
    c10::CachingDeviceAllocator::SegmentInfo segment;
    segment.device = device;
    segment.address = reinterpret_cast<std::size_t>(address);
    segment.total_size = block.bytes;
    segment.requested_size = info.requested_size;
    segment.allocated_size = block.live ? block.bytes : 0;
    segment.active_size = info.active ? block.bytes : 0;
    segment.stream = block.stream;
    segment.is_large = true;
    segment.owner_private_pool_id = block.pool;
    segment.blocks.push_back(std::move(info));
    all.push_back(std::move(segment));
  }
}

}  // namespace millrace_torch
