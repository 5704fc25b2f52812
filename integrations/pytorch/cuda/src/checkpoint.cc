// The state of a private pool, taken and restored: what torch.compile's trees of graphs need.
#include <c10/util/Exception.h>

#include <memory>
#include <unordered_set>
#include <utility>

#include <millrace/memory_pool.h>

#include "allocator.h"
#include "errors.h"

namespace millrace_torch {
namespace {

struct PoolState final : caching::AllocatorState {
  PoolState(MempoolId_t pool, millrace::PoolCheckpoint state) : id(pool), checkpoint(std::move(state)) {}
  const MempoolId_t id;
  const millrace::PoolCheckpoint checkpoint;
};

template <typename Visit>
void for_each_live(const std::vector<millrace::MemorySegment>& segments, Visit&& visit) {
  for (const millrace::MemorySegment& segment : segments) {
    for (const millrace::MemoryBlock& block : segment.blocks) {
      if (block.state == millrace::MemoryState::live) visit(segment, block);
    }
  }
}

}  // namespace

bool CudaAllocator::checkPoolLiveAllocations(c10::DeviceIndex index, MempoolId_t pool,
                                             const std::unordered_set<void*>& expected) {
  return translated([&] {
    std::size_t found = 0;
    bool all_expected = true;
    for_each_live(memory_of(index).pools().core_pool(pool).segments(),
                  [&](const auto&, const millrace::MemoryBlock& block) {
                    ++found;
                    all_expected = all_expected && expected.contains(const_cast<void*>(block.address));
                  });
    return all_expected && found == expected.size();
  });
}

std::shared_ptr<caching::AllocatorState> CudaAllocator::getCheckpointState(c10::DeviceIndex index,
                                                                           MempoolId_t pool) {
  return translated([&] {
    return std::make_shared<PoolState>(pool, memory_of(index).pools().core_pool(pool).checkpoint());
  });
}

caching::CheckpointDelta CudaAllocator::setCheckpointPoolState(
    c10::DeviceIndex index, std::shared_ptr<caching::AllocatorState> state) {
  const auto taken = std::dynamic_pointer_cast<PoolState>(state);
  TORCH_CHECK(taken != nullptr, "the state of a pool that getCheckpointState gave was expected");
  DeviceMemory& memory = memory_of(index);
  caching::CheckpointDelta delta;
  // torch takes the tensors of all that was live from it, and gives those that are to be live all that are: a
  // block that is both stays what it is.
  translated([&] {
    const millrace::MemoryPool pool = memory.pools().core_pool(taken->id);
    for_each_live(pool.segments(), [&](const auto&, const millrace::MemoryBlock& block) {
      delta.ptrs_freed.push_back(const_cast<void*>(block.address));
    });
    const millrace::PoolRestored restored = pool.restore(taken->checkpoint);
    if (observers_.any()) {
      for (void* const address : restored.freed) observers_.on_restored_free(memory, address);
      for (const auto& [address, bytes, stream] : restored.allocated)
        observers_.on_allocate(memory, address, bytes, memory.streams().handle_of(stream));
    }
  });
  const c10::Device device(c10::kCUDA, index);
  for_each_live(taken->checkpoint.segments, [&](const auto&, const millrace::MemoryBlock& block) {
    void* const address = const_cast<void*>(block.address);
    delta.dataptrs_allocd.emplace_back(address, address, &CudaAllocator::delete_cached, device);
  });
  return delta;
}

}  // namespace millrace_torch
