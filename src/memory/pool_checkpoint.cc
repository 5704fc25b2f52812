// Checkpoints of pools: taking one, and bringing a pool back to it.
#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "device/status.h"
#include "memory/allocator.h"
#include "memory/restore.h"

namespace millrace {

using detail::PoolState;

namespace {

/// All of them or, where one of them or ready throws, none. Their mutexes are held together meanwhile, in the
/// order of their slots.
template <typename Ready>
void restore_all(std::span<ArenaRestore> restores, bool protect, Ready& ready) {
  if (restores.empty()) return ready();
  restores.front().arena->restore(restores.front(), protect,
                                  [&] { restore_all(restores.subspan(1), protect, ready); });
}

}  // namespace

void Allocator::refuse_lender(const PoolState& pool, const char* call) const {
  if (!pool.ever_lent()) return;
  throw_rule("pool-lends",
             "memory of a pool with use_on_oom may be somebody's who did not name it; keep such a pool apart",
             core_.error_context(call));
}

PoolCheckpoint Allocator::checkpoint_pool(const Pool& pool, const char* call) {
  refuse_lender(used_pool(pool, call), call);
  return {pool.number, pool_segments(pool)};
}

std::vector<ArenaRestore> Allocator::restores_of(const Pool& pool, const PoolCheckpoint& checkpoint,
                                                 const char* call) {
  std::vector<ArenaRestore> restores(cached_slots_);
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::InvalidArgument, why, core_.error_context(call));
  };
  if (checkpoint.pool != pool.number) {
    refuse("the checkpoint is of pool " + std::to_string(checkpoint.pool) + ", not of " +
           std::to_string(pool.number) + "; restore each pool to its own");
  }
  for (const MemorySegment& segment : checkpoint.segments) {
    const bool known = segment.stream >= 0 && static_cast<unsigned>(segment.stream) < cached_slots_;
    ArenaRestore* const restore = known ? &restores[static_cast<std::size_t>(segment.stream)] : nullptr;
    const std::size_t unit = segment.large ? geometry_.large_unit : geometry_.small_unit;
    for (const MemoryBlock& block : segment.blocks) {
      if (block.state != MemoryState::live) continue;
      auto* const address = static_cast<std::byte*>(const_cast<void*>(block.address));
      if (restore == nullptr || block.bytes == 0 ||
          (reinterpret_cast<std::uintptr_t>(address) | block.bytes) % unit != 0)
        refuse("the checkpoint has a block that no pool could have had; pass what checkpoint returned");
      restore->wanted.push_back({address, block.bytes, segment.large});
    }
  }
  for (int slot = 0; static_cast<unsigned>(slot) < cached_slots_; ++slot) {
    ArenaRestore& restore = restores[static_cast<std::size_t>(slot)];
    restore.arena = pool.state->arena(slot);
    if (restore.arena == nullptr && !restore.wanted.empty())
      refuse("the checkpoint names memory that the pool never had");
    const auto overlap = [](const ArenaRestore::Wanted& one, const ArenaRestore::Wanted& next) {
      return one.address + one.bytes > next.address;
    };
    if (std::ranges::adjacent_find(restore.wanted, overlap) != restore.wanted.end())
      refuse("the checkpoint has blocks that overlap, or are not in order; pass what checkpoint returned");
  }
  std::erase_if(restores, [](const ArenaRestore& restore) { return restore.arena == nullptr; });
  return restores;
}

PoolRestored Allocator::restore_pool(const Pool& pool, Context& context, const PoolCheckpoint& checkpoint,
                                     const char* call) {
  refuse_lender(used_pool(pool, call), call);
  std::vector<ArenaRestore> restores = restores_of(pool, checkpoint, call);
  PoolRestored changed;
  const auto reserve = [&] {
    std::size_t freed = 0, allocated = 0;
    for (const ArenaRestore& each : restores) {
      freed += each.claimed.size();
      allocated += each.wanted.size();
    }
    changed.freed.reserve(freed);
    changed.allocated.reserve(allocated);
  };
  const Context::Hold hold = context.hold();
  if (!hold) core_.throw_closed(call);
  try {
    restore_all(restores, protect_, reserve);
  } catch (const Error& error) {
    core_.throw_if_failed(Status(error), call);
  }
  ThreadCache& cache = cache_of(context);
  for (const ArenaRestore& each : restores) {
    for (const ArenaRestore::Freed& freed : each.freed) {
      cache.count_free(freed.bytes, freed.large, false);
      changed.freed.push_back(freed.address);
    }
  }
  for (const ArenaRestore& each : restores) {
    for (Block* const block : each.allocated) {
      const std::size_t bytes = block->size;
      changed.allocated.push_back({hand_out(cache, *block, bytes), bytes, each.arena->slot()});
    }
  }
  return changed;
}

}  // namespace millrace
