#include "memory/arena.h"

#include <algorithm>
#include <new>

#include "device/status.h"
#include "sync/prefetch.h"

namespace millrace {

Arena::Arena(int slot, ArenaUse use, const Geometry& geometry, HeapSource& source, PageMap& map,
             ArenaHost& host, MemorySource* memory)
    : slot_(slot),
      use_(use),
      owner_{.slot = slot, .fixed = is_pooled(), .memory = memory},
      geometry_(geometry),
      timeline_(host.timeline(slot)),
      host_(host),
      blocks_(*this, source.kind, geometry.descriptors),
      small_(false, geometry, source, map, blocks_, owner_, use == ArenaUse::whole_blocks),
      large_(true, geometry, source, map, blocks_, owner_, use == ArenaUse::whole_blocks) {}

void Arena::refill(const BlockRequest& request, int count, BlockList& out) {
  sync::LockGuard lock(mutex_);
  take_in_remote();
  BlockList& bin = bins_[request.size_class];
  while (out.count < count && !bin.empty()) {
    Block* block = bin.pop();
    bins_bytes_ -= block->size;
    block->set_state(BlockState::cached);
    out.push(block);
  }
  while (out.count < count) {
    Block* block = nullptr;
    try {
      block = small_.take(request.size, geometry_.small_unit);
    } catch (const std::bad_alloc&) {  // no descriptors
      if (out.empty()) throw;
    }
    if (block == nullptr) break;
    block->size_class = request.size_class;
    block->set_state(BlockState::cached);
    out.push(block);
  }
  if (!out.empty()) return;
  // What is left may be unmerged, or waiting for uses that have ended.
  if (Block* block = take_locked(request, Space::kAnyValue)) {
    block->set_state(BlockState::cached);
    out.push(block);
  }
}

Block* Arena::take(const BlockRequest& request, bool idle_only) {
  sync::LockGuard lock(mutex_);
  take_in_remote();
  return take_locked(request, idle_only ? timeline_.completed() : Space::kAnyValue);
}

Block* Arena::take_locked(const BlockRequest& request, std::uint64_t done) {
  Space& from = space(request.large);
  Block* block = from.take(request.size, request.alignment, done);
  if (block == nullptr && collect_pending_locked(true))
    block = from.take(request.size, request.alignment, done);
  if (block == nullptr && !request.large && bins_bytes_ != 0) {
    merge_bins();
    block = from.take(request.size, request.alignment, done);
  }
  if (block != nullptr) block->size_class = request.size_class;
  return block;
}

Growth Arena::grow(const BlockRequest& request) {
  sync::LockGuard lock(mutex_);
  take_in_remote();
  // A3: what is captured counts as completed, and comes back to these addresses at each launch.
  const std::uint64_t done = is_captured() ? 0 : timeline_.completed();
  return space(request.large).grow(request.size, request.alignment, done);
}

void Arena::give(BlockList blocks) {
  sync::LockGuard lock(mutex_);
  while (Block* block = blocks.pop()) take_in(*block);
}

void Arena::give(Block& block) {
  sync::LockGuard lock(mutex_);
  take_in(block);
}

void Arena::give_remote(BlockList blocks) noexcept {
  if (blocks.empty()) return;
  for (Block* block = blocks.first; block != nullptr; block = block->next)
    block->set_state(BlockState::remote);
  remote_.push_chain(blocks.first, blocks.last);
}

void Arena::take_in_remote() {
  Block* next = nullptr;
  for (Block* block = remote_.take_all(); block != nullptr; block = next) {
    next = block->next;
    // Another thread has written its line, which is read here and then written.
    sync::prefetch_for_write(next);
    take_in(*block);
  }
}

void Arena::take_in(Block& block) {
  // Nothing is in front of a direct arena that would be refilled from bins.
  if (block.large || is_direct() || bins_bytes_ + block.size > geometry_.bins_bytes) {
    space(block.large).give(block);
    return;
  }
  block.set_state(BlockState::binned);
  bins_[block.size_class].push(&block);
  bins_bytes_ += block.size;
}

void Arena::merge_bins() {
  for (BlockList& bin : bins_) {
    while (Block* block = bin.pop()) small_.give(*block);
  }
  bins_bytes_ = 0;
}

bool Arena::add_use(Block& block, std::uint64_t generation, const BlockUse& use) {
  sync::LockGuard lock(mutex_);
  // Checked again under the mutex: it may have been freed and handed out anew (A1, M6).
  // acquire: pairs with the release that made the block live.
  std::uint64_t word = block.word.load(std::memory_order_acquire);
  do {
    if (BlockWord::state(word) != BlockState::live || BlockWord::generation(word) != generation) return false;
    // relaxed failure: looked at again. acq_rel: a free that finds the mark takes this mutex.
  } while (!block.word.compare_exchange_weak(word, word | BlockWord::kHasUses, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
  for (BlockUse& known : block.uses) {
    if (known.point.queue != use.point.queue) continue;
    // One entry a stream: the later point counts, and is covered only by a record_use that is not older.
    const bool newer = use.point.value >= known.point.value;
    known.declared =
        newer ? (use.declared && (known.declared || use.point.value > known.point.value)) : known.declared;
    known.point.value = std::max(known.point.value, use.point.value);
    known.until_free |= use.until_free;
    known.checked = false;  // the free of this life says what covers it
    return true;
  }
  block.uses.push_back(use);
  return true;
}

bool Arena::free_used(Block& block, std::uint64_t generation, Uncovered uncovered, OwnEnd own,
                      CoverList* to_cover, FreedBlock* freed) {
  sync::LockGuard lock(mutex_);
  // acquire: pairs with the release that made the block live.
  std::uint64_t word = block.word.load(std::memory_order_acquire);
  const auto is_meant = [&] {
    return BlockWord::state(word) == BlockState::live && BlockWord::generation(word) == generation;
  };
  if (!is_meant()) return false;
  if (uncovered == Uncovered::refuse) refuse_uncovered_uses(block);
  // acquire both: as above. Only the marks can have changed, unless another free was first.
  while (!block.word.compare_exchange_weak(word, BlockWord::make(BlockState::moving, generation + 1),
                                           std::memory_order_acquire, std::memory_order_acquire)) {
    if (!is_meant()) return false;
  }
  if (freed != nullptr) *freed = {.size = block.size, .large = block.large};
  block.free_value = timeline_.covering();
  block.own_end = own_end(own);
  if (own == OwnEnd::covering && to_cover != nullptr && timeline_.is_wrapped())
    to_cover->add({slot_, block.own_end});
  for (BlockUse& use : block.uses) {
    if (!use.until_free) {
      use.checked |= uncovered == Uncovered::check && use.declared;
      continue;
    }
    const Timeline& used_on = host_.timeline(use.point.queue);
    use.point.value = used_on.covering();
    if (to_cover != nullptr && used_on.is_wrapped()) to_cover->add(use.point);
  }
  if (all_reached(block)) {
    retire_uses(block);
  } else {
    link_pending(block);
    if (freed != nullptr) freed->pending = true;
  }
  return true;
}

std::uint64_t Arena::own_end(OwnEnd own) const noexcept {
  switch (own) {
    case OwnEnd::none: break;
    case OwnEnd::recorded: return timeline_.last_used();
    case OwnEnd::covering: return timeline_.covering();
    case OwnEnd::graph: return BlockUse::kWithGraph;
  }
  return 0;
}

void Arena::refuse_uncovered_uses(const Block& block) {
  for (const BlockUse& use : block.uses) {
    if (!use.declared || use.until_free || host_.reached(use.point)) continue;
    throw_rule("freed-while-in-use",
               "memory allocated for stream " + std::to_string(slot_) + " is freed while work on stream " +
                   std::to_string(use.point.queue) +
                   " still uses it; call record_use or record_stream for that stream first, or wait for it");
  }
}

void Arena::hide(const Block& block) noexcept {
  // Others' memory is theirs again some day, and they look at it.
  if (owner_.memory == nullptr) host_.hide(block);
}

void Arena::retire_uses(Block& block) {
  block.uses.clear();
  block.own_end = 0;
  hide(block);
  take_in(block);
}

bool Arena::all_reached(const Block& block) {
  return (block.own_end == 0 || host_.reached({slot_, block.own_end})) &&
         std::ranges::all_of(block.uses, [&](const BlockUse& use) { return is_over(use); });
}

bool Arena::is_over(const BlockUse& use) noexcept {
  // A5: whoever is told of the end is ordered after it, which nothing in the program has seen to.
  return use.checked ? host_.ended(use.point) : host_.reached(use.point);
}

void Arena::link_pending(Block& block) {
  block.set_state(BlockState::pending);
  block.next = nullptr;
  *pending_end_ = &block;
  pending_end_ = &block.next;
  pending_bytes_.add(block.size);
  if (is_checked(block)) ++pending_checked_;
}

bool Arena::is_checked(const Block& block) noexcept {
  return !block.uses.empty() && std::ranges::all_of(block.uses, &BlockUse::checked);
}

Block& Arena::unlink_pending(Block** link) {
  Block& block = **link;
  *link = block.next;
  if (block.next == nullptr) pending_end_ = link;
  block.next = nullptr;
  pending_bytes_.subtract(block.size);
  if (is_checked(block)) --pending_checked_;
  block.set_state(BlockState::moving);
  return block;
}

bool Arena::collect_pending() {
  sync::LockGuard lock(mutex_);
  take_in_remote();
  return collect_pending_locked(false);
}

bool Arena::collect_pending_locked(bool oldest_only) {
  Amount small, large;
  for (Block** link = &pending_; *link != nullptr;) {
    if (all_reached(**link)) {
      Block& block = unlink_pending(link);
      (block.large ? large : small) += block.amount();
      retire_uses(block);
    } else {
      if (oldest_only) break;
      link = &(*link)->next;
    }
  }
  if (small.blocks == 0 && large.blocks == 0) return false;
  host_.on_unused(small, large);
  return true;
}

Block* Arena::claim_pending(const BlockRequest& request) {
  sync::LockGuard lock(mutex_);
  Block** best = nullptr;
  for (Block** link = &pending_; *link != nullptr; link = &(*link)->next) {
    const Block& block = **link;
    if (block.large != request.large || block.size < request.size) continue;
    if (reinterpret_cast<std::uintptr_t>(block.data()) % request.alignment != 0) continue;
    if (best != nullptr && (*best)->size <= block.size) continue;
    // Its own stream's end, where that is waited for, is the host's to see.
    if (block.own_end != 0) continue;
    if (!std::ranges::all_of(block.uses, [&](const BlockUse& use) { return is_submitted(use.point); }))
      continue;
    best = link;
    if (block.size == request.size) break;
  }
  return best == nullptr ? nullptr : &unlink_pending(best);
}

void Arena::put_back_pending(Block& block) {
  sync::LockGuard lock(mutex_);
  link_pending(block);
}

Block* Arena::take_checked(const BlockRequest& request) {
  sync::LockGuard lock(mutex_);
  if (pending_checked_ == 0) return nullptr;  // others may be many: all that waits for its own stream's work
  for (Block** link = &pending_; *link != nullptr; link = &(*link)->next) {
    const Block& block = **link;
    if (block.large != request.large || block.size != request.size) continue;
    if (reinterpret_cast<std::uintptr_t>(block.data()) % request.alignment != 0) continue;
    if (!is_checked(block)) continue;
    Block& taken = unlink_pending(link);
    host_.on_unused(taken.large ? Amount() : taken.amount(), taken.large ? taken.amount() : Amount());
    taken.own_end = 0;  // its own stream's order does the rest
    return &taken;
  }
  return nullptr;
}

std::size_t Arena::release_empty() {
  sync::LockGuard lock(mutex_);
  take_in_remote();
  collect_pending_locked(false);
  merge_bins();
  const std::uint64_t done = timeline_.completed();
  return small_.release_empty(done) + large_.release_empty(done);
}

bool Arena::is_empty() {
  sync::LockGuard lock(mutex_);
  return small_.is_empty() && large_.is_empty();
}

bool Arena::release_all() {
  sync::LockGuard lock(mutex_);
  take_in_remote();
  for (Block* block = pending_; block != nullptr; block = block->next) {
    std::erase_if(block->uses, [](const BlockUse& use) { return use.point.value == BlockUse::kWithGraph; });
    if (block->own_end == BlockUse::kWithGraph) block->own_end = 0;
  }
  collect_pending_locked(false);
  merge_bins();
  static_cast<void>(small_.release_empty(Space::kAnyValue));
  static_cast<void>(large_.release_empty(Space::kAnyValue));
  return small_.is_empty() && large_.is_empty();
}

std::optional<TimelinePoint> Arena::next_to_finish() {
  sync::LockGuard lock(mutex_);
  take_in_remote();
  merge_bins();  // what is in them becomes whole granules, too, once the stream's work is done
  for (const Block* block = pending_; block != nullptr; block = block->next) {
    for (const BlockUse& use : block->uses) {
      if (!is_over(use) && is_submitted(use.point)) return use.point;
    }
    const TimelinePoint own{slot_, block->own_end};
    if (own.value != 0 && !host_.reached(own) && is_submitted(own)) return own;
  }
  const std::uint64_t done = timeline_.completed();
  const std::uint64_t submitted = timeline_.submitted();
  const std::uint64_t small = small_.next_free_value(done, submitted);
  const std::uint64_t large = large_.next_free_value(done, submitted);
  if (small == 0 && large == 0) return std::nullopt;
  return TimelinePoint{slot_, small == 0 ? large : large == 0 ? small : std::min(small, large)};
}

bool Arena::is_submitted(const TimelinePoint& point) const noexcept {
  return point.value <= host_.timeline(point.queue).submitted();
}

bool Arena::in_use(const Block& block) {
  sync::LockGuard lock(mutex_);
  // relaxed: written under the stream's mutex by whoever recorded the use; asking while recording
  // gets one of the two answers.
  if (block.own_use.load(std::memory_order_relaxed) > timeline_.completed()) return true;
  return !all_reached(block);
}

std::size_t Arena::largest_free() {
  sync::LockGuard lock(mutex_);
  return std::max(small_.largest_free(), large_.largest_free());
}

}  // namespace millrace
