// Uses of memory: by other streams, by recorded work, and none at all.
#include <cstring>

#include "device/status.h"
#include "memory/allocator.h"

namespace millrace {

void Allocator::record_use(const void* address, int slot, bool until_free, const char* call) {
  std::uint64_t word = 0;
  Block& block = live_block(address, call, word);
  const BlockUse use{.point = {slot, streams_.timeline(slot).last_used()}, .until_free = until_free};
  if (slot == block.arena->slot() || (!until_free && reached(use.point))) return;
  if (!block.arena->add_use(block, BlockWord::generation(word), use)) {
    throw_rule("use-after-free", "the allocation was freed while its use was recorded; order the two calls",
               core_.error_context(call, slot));
  }
}

void Allocator::check(const Use& use, TimelinePoint at) {
  Block* block = map_.find_containing(reinterpret_cast<std::uintptr_t>(use.address));
  if (block == nullptr) {
    if (!map_.covers(reinterpret_cast<std::uintptr_t>(use.address))) return;  // memory of somebody else's
    throw_rule("use-after-free",
               "recorded work uses memory of this device that is not allocated; free it later, or "
               "allocate it before",
               core_.error_context("recording", at.queue));
  }
  // acquire: pairs with the release in ThreadCache::hand_out.
  const std::uint64_t word = block->word.load(std::memory_order_acquire);
  if ((word & BlockWord::kDiscarded) != 0) {
    throw_rule("purgeable-in-use",
               "recorded work uses memory that was made discardable; call make_resident first",
               core_.error_context("recording", at.queue));
  }
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(use.address) - block->data());
  const std::size_t extent = block->extent.load(std::memory_order_relaxed);  // relaxed: of a live block
  if (use.bytes > extent - offset) {
    throw Error(ErrorCode::InvalidArgument,
                "an operation touches " + std::to_string(use.bytes) + " bytes at offset " +
                    std::to_string(offset) + " of an allocation of " + std::to_string(extent) + " bytes",
                core_.error_context("recording", at.queue));
  }
  if (at.queue == block->arena->slot()) {
    // relaxed: written under this stream's mutex, which the caller holds.
    block->own_use.store(at.value, std::memory_order_relaxed);
    return;
  }
  block->arena->add_use(*block, BlockWord::generation(word), {.point = at, .declared = true});
}

void Allocator::make_discardable(void* address) {
  constexpr const char* kCall = "Device::make_discardable";
  std::uint64_t word = 0;
  Block& block = live_block(address, kCall, word);
  if (block.arena->in_use(block)) {
    throw_rule("purgeable-in-use", "work that was not completed uses this memory; wait for it first",
               core_.error_context(kCall));
  }
  // acq_rel: whoever sees the mark sees what was done before; pairs with the acquire in check.
  block.word.fetch_or(BlockWord::kDiscarded, std::memory_order_acq_rel);
  // Chaos takes the right to throw it away at once, so that a missing make_resident shows.
  if (core_.options().chaos && core_.backend().info().host_tasks) std::memset(address, 0xdd, block.size);
}

bool Allocator::make_resident(void* address) {
  std::uint64_t word = 0;
  Block& block = live_block(address, "Device::make_resident", word);
  // acq_rel: as in make_discardable.
  const std::uint64_t before = block.word.fetch_and(~BlockWord::kDiscarded, std::memory_order_acq_rel);
  return (before & BlockWord::kDiscarded) == 0 || !core_.options().chaos;
}

}  // namespace millrace
