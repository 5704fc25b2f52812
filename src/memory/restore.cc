// Restoring an arena: which blocks have to change hands, whether they may, and the change.
#include "memory/restore.h"

#include <algorithm>
#include <new>
#include <string>

#include "device/status.h"
#include "memory/arena.h"

namespace millrace {
namespace {

/// The blocks of a checkpoint that a walk by address meets, in time proportional to both.
///
/// Thread safety: one thread.
class WantedWalk {
 public:
  WantedWalk(std::vector<ArenaRestore::Wanted>& wanted, bool large) : all_(wanted), large_(large) { skip(); }

  /// Calls visit(Wanted&) for each one that overlaps the block, whose address is beyond all blocks before.
  template <typename Visit>
  void for_each_in(const Block& block, Visit&& visit) {
    const std::byte* const end = block.data() + block.size;
    while (at_ < all_.size() && all_[at_].address < end) {
      ArenaRestore::Wanted& wanted = all_[at_];
      const std::byte* const start = std::max<const std::byte*>(wanted.address, block.data());
      const std::byte* const wanted_end = wanted.address + wanted.bytes;
      if (wanted_end > block.data()) {
        covered_ += static_cast<std::size_t>(std::min(wanted_end, end) - start);
        visit(wanted);
      }
      if (wanted_end > end) return;  // goes on in the next block
      complete_ = complete_ && covered_ == wanted.bytes;
      covered_ = 0;
      ++at_;
      skip();
    }
  }
  /// Were all of them met, in all of their bytes?
  bool is_complete() const noexcept { return complete_ && at_ == all_.size(); }

 private:
  void skip() noexcept {
    while (at_ < all_.size() && all_[at_].large != large_) ++at_;
  }

  std::vector<ArenaRestore::Wanted>& all_;
  const bool large_;
  std::size_t at_ = 0;
  std::size_t covered_ = 0;  // bytes of the one that the walk is in
  bool complete_ = true;
};

std::string range_of(const Block& block) {
  return std::to_string(block.size) + " bytes at " +
         std::to_string(reinterpret_cast<std::uintptr_t>(block.data()));
}

[[noreturn]] void throw_gone() {
  throw Error(ErrorCode::InvalidArgument,
              "the checkpoint names memory that the pool no longer has; take one after the last trim");
}

}  // namespace

void Arena::claim_for(ArenaRestore& restore, bool protect) {
  take_in_remote();
  collect_pending_locked(false);
  plan(restore, false, protect);
  plan(restore, true, protect);
  const auto to_allocate =
      static_cast<std::size_t>(std::ranges::count(restore.wanted, false, &ArenaRestore::Wanted::kept));
  blocks_.reserve(2 * static_cast<int>(to_allocate));
  restore.allocated.reserve(to_allocate);
  restore.freed.reserve(restore.claimed.size());
  for (std::size_t i = 0; i < restore.claimed.size(); ++i) {
    auto& [block, word] = restore.claimed[i];
    const std::uint64_t generation = BlockWord::generation(word);
    // acquire: as a free's. Marks can't have changed under the mutex but for make_discardable's, which is a
    // use too.
    if (block->word.compare_exchange_strong(word, BlockWord::make(BlockState::moving, generation + 1),
                                            std::memory_order_acquire, std::memory_order_relaxed))
      continue;
    const Block& lost = *block;
    restore.claimed.resize(i);
    restore.give_up();
    throw_rule("pool-in-use",
               range_of(lost) + " was freed by another thread while the pool was restored; order the two");
  }
}

void Arena::plan(ArenaRestore& restore, bool large, bool protect) {
  Space& from = space(large);
  from.sort_heaps();
  WantedWalk walk(restore.wanted, large);
  from.for_each_block([&](Block& block) {
    // acquire: pairs with the release in ThreadCache::hand_out.
    const std::uint64_t word = block.word.load(std::memory_order_acquire);
    const BlockState state = BlockWord::state(word);
    bool kept = false, overlapped = false;
    walk.for_each_in(block, [&](ArenaRestore::Wanted& wanted) {
      overlapped = true;
      kept = state == BlockState::live && wanted.address == block.data() && wanted.bytes == block.size;
      wanted.kept = kept;
    });
    switch (state) {
      case BlockState::free: return;
      case BlockState::live:
        if (kept) return;
        refuse_unfinished(block, protect);
        restore.claimed.push_back({&block, word});
        return;
      case BlockState::hole:
        if (overlapped) throw_gone();
        return;
      case BlockState::pending:
        if (!overlapped) return;
        throw_rule("pool-in-use",
                   range_of(block) +
                       ", which the checkpoint has as allocated, were freed while other streams' "
                       "work used them, which is not done; wait for it first");
      default:
        if (!overlapped) return;
        throw_rule("pool-in-use",
                   range_of(block) +
                       ", which the checkpoint has as allocated, are being allocated or freed by "
                       "another thread; order the two");
    }
  });
  if (!walk.is_complete()) throw_gone();
}

void Arena::refuse_unfinished(const Block& block, bool protect) {
  const auto refuse = [&](int stream) {
    throw_rule("pool-in-use", range_of(block) +
                                  ", which the checkpoint has as free, are used by work on stream " +
                                  std::to_string(stream) + " that is not done; wait for it first");
  };
  for (const BlockUse& use : block.uses) {
    // upholds A1: a free would keep the block until then, and the checkpoint has it free now.
    const bool over = use.until_free
                          ? host_.reached({use.point.queue, host_.timeline(use.point.queue).covering()})
                          : is_over(use);
    if (!over) refuse(use.point.queue);
  }
  if ((protect || timeline_.trails()) && !host_.reached({slot_, timeline_.last_used()})) refuse(slot_);
}

void Arena::carry_out(ArenaRestore& restore) noexcept {
  const std::uint64_t covering = timeline_.covering();
  for (const auto& [block, word] : restore.claimed) {
    restore.freed.push_back({block->data(), block->size, block->large});
    block->uses.clear();
    block->own_end = 0;
    block->free_value = covering;
    hide(*block);
    space(block->large).give(*block);
  }
  restore.claimed.clear();
  for (const bool large : {false, true}) {
    Space& from = space(large);
    Space::Walk walk(from);
    for (const ArenaRestore::Wanted& wanted : restore.wanted) {
      if (wanted.large != large || wanted.kept) continue;
      Block& block = from.take_range(walk.to(wanted.address), wanted.address, wanted.bytes);
      restore.allocated.push_back(&block);
    }
  }
}

}  // namespace millrace
