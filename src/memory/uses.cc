// Uses of memory: by other streams, by recorded work, and none at all.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "device/status.h"
#include "memory/allocator.h"

namespace millrace {

std::size_t Allocator::size_of(const void* address, const char* call) const {
  std::uint64_t word = 0;
  return live_block(address, call, word).size;
}

void Allocator::note_requested(Context& context, const void* address, std::size_t bytes, const char* call) {
  const Context::Hold hold = context.hold();
  if (!hold) core_.throw_closed(call);
  std::uint64_t word = 0;
  Block& block = live_block(address, call, word);
  if (bytes > block.size) {
    throw Error(ErrorCode::InvalidArgument,
                std::to_string(bytes) + " bytes can't have been asked for: the allocation has " +
                    std::to_string(block.size),
                core_.error_context(call));
  }
  const std::size_t before = block.unasked();
  block.set_unasked(std::min<std::size_t>(block.size - bytes, std::numeric_limits<std::uint32_t>::max()));
  cache_of(context, block.kind).count_unasked(block.unasked() - before, block.large);
}

int Allocator::slot_of(const void* address, const char* call) const {
  std::uint64_t word = 0;
  return live_block(address, call, word).arena->slot();
}

void Allocator::record_use(const void* address, int slot, bool until_free, const char* call) {
  std::uint64_t word = 0;
  Block& block = live_block(address, call, word);
  if (static_cast<unsigned>(slot) >= cached_slots_ && slot != block.arena->slot()) {
    if (!streams_.in_one_capture(slot, block.arena->slot())) {
      throw_rule(
          "captured-work",
          "a use by captured work ends with the last launch of its graph; keep the memory that long instead",
          core_.error_context(call, slot));
    }
    add_captured_use(block, word, slot, call);
    return;
  }
  const BlockUse use{.point = {slot, streams_.timeline(slot).covering()}, .until_free = until_free};
  if (slot == block.arena->slot() || (!until_free && reached(use.point))) return;
  if (!block.arena->add_use(block, BlockWord::generation(word), use)) {
    throw_rule("use-after-free", "the allocation was freed while its use was recorded; order the two calls",
               core_.error_context(call, slot));
  }
  if (!until_free) streams_.cover(use.point);
}

void Allocator::add_captured_use(Block& block, std::uint64_t word, int slot, const char* call) {
  const BlockUse use{.point = {slot, BlockUse::kWithGraph}};
  if (block.arena->add_use(block, BlockWord::generation(word), use)) return;
  throw_rule("use-after-free", "the allocation was freed while its use was recorded; order the two calls",
             core_.error_context(call, slot));
}

void Allocator::check(const Use& use, TimelinePoint at) {
  constexpr const char* kCall = "recording";
  const auto address = reinterpret_cast<std::uintptr_t>(use.address);
  Block* block = map_->find_containing(address);
  if (block == nullptr && !map_->covers(address)) return;  // memory of somebody else's
  // acquire: pairs with the release in ThreadCache::hand_out.
  const std::uint64_t word = block == nullptr ? 0 : block->word.load(std::memory_order_acquire);
  if (block != nullptr && BlockWord::state(word) == BlockState::live) {
    if ((word & BlockWord::kDiscarded) != 0) {
      throw_rule("purgeable-in-use",
                 "recorded work uses memory that was made discardable; call make_resident first",
                 core_.error_context(kCall, at.queue));
    }
    const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(use.address) - block->data());
    const std::size_t extent = block->extent.load(std::memory_order_relaxed);  // relaxed: of a live block
    if (use.bytes > extent - offset) {
      throw Error(ErrorCode::InvalidArgument,
                  "an operation touches " + std::to_string(use.bytes) + " bytes at offset " +
                      std::to_string(offset) + " of an allocation of " + std::to_string(extent) + " bytes",
                  core_.error_context(kCall, at.queue));
    }
    if (at.queue == block->arena->slot()) {
      // relaxed: written under this stream's mutex, which the caller holds.
      block->own_use.store(at.value, std::memory_order_relaxed);
      return;
    }
    if (block->arena->is_captured() && streams_.in_one_capture(at.queue, block->arena->slot())) {
      add_captured_use(*block, word, at.queue, kCall);
      return;
    }
    if (block->arena->add_use(*block, BlockWord::generation(word), {.point = at, .declared = true})) return;
  }
  throw_rule(
      "use-after-free",
      "recorded work uses memory of this device that is not allocated; allocate it before, and free it later",
      core_.error_context(kCall, at.queue));
}

void Allocator::make_discardable(void* address) {
  constexpr const char* kCall = "Device::make_discardable";
  std::uint64_t word = 0;
  Block& block = live_block(address, kCall, word);
  if (block.arena->in_use(block)) {
    throw_rule("purgeable-in-use", "work that was not completed uses this memory; wait for it first",
               core_.error_context(kCall));
  }
  static_cast<void>(change_mark(block, word, BlockWord::kDiscarded, kCall));
  // Chaos takes the right to throw it away at once, so that a missing make_resident shows.
  if (core_.options().chaos && core_.backend().info().host_tasks) std::memset(address, 0xdd, block.size);
}

bool Allocator::make_resident(void* address) {
  constexpr const char* kCall = "Device::make_resident";
  std::uint64_t word = 0;
  Block& block = live_block(address, kCall, word);
  const std::uint64_t before = change_mark(block, word, 0, kCall);
  return (before & BlockWord::kDiscarded) == 0 || !core_.options().chaos;
}

std::uint64_t Allocator::change_mark(Block& block, std::uint64_t word, std::uint64_t discarded,
                                     const char* call) {
  const std::uint64_t meant = BlockWord::generation(word);
  // acq_rel: whoever sees the mark sees what was done before; pairs with the acquire in check. Looked at
  // again on failure: other marks may come, but a free means that this was not the caller's any more (M6).
  while (!block.word.compare_exchange_weak(word, (word & ~BlockWord::kDiscarded) | discarded,
                                           std::memory_order_acq_rel, std::memory_order_acquire)) {
    if (BlockWord::state(word) == BlockState::live && BlockWord::generation(word) == meant) continue;
    throw_rule("use-after-free", "the allocation was freed by another thread during the call; order the two",
               core_.error_context(call));
  }
  return word;
}

}  // namespace millrace
