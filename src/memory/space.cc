#include "memory/space.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

namespace millrace {
namespace {

// A space for large blocks may have a sixteenth more than was ever taken of it at once; beyond that, memory
// moves before it grows. A large request is worth what that costs. For smaller ones, of which there can be
// many, so much moves as makes four times of what was taken at once, and then hardly anything.
constexpr std::size_t kPartSpare = 16, kLargeRequest = 128 * kMiB;
constexpr std::uint64_t kTimesMoved = 4, kPartMoved = 16384;
// How many free ranges are looked at for one that can move: the largest, then the smallest.
constexpr int kLargestLooks = 32, kSmallestLooks = 256;

// Each commit takes calls of the driver's, so a space that has much grows by more than 2 MiB. Who allocates
// so often in a row and frees nothing gets even more in advance: docs/decisions/best-fit-for-everything.md
// has what that does.
constexpr int kGrowthsInARow = 8;
constexpr std::size_t kPartGrown = 1024, kPartAhead = 128, kMostAhead = 256 * kMiB;

// Where heaps are committed whole.
constexpr std::size_t kLeastSmallHeap = 2 * kMiB, kLeastLargeHeap = 8 * kMiB, kLargestHeap = 256 * kMiB;
// The same as CUDACachingAllocator has it (SegmentGrowth::fixed).
constexpr std::size_t kFixedSmallHeap = 2 * kMiB, kFixedLargeHeap = 20 * kMiB, kOfItsOwn = 10 * kMiB;

std::size_t padding(const Block& block, std::size_t alignment) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(block.data());
  return static_cast<std::size_t>(round_up(start, alignment) - start);
}

}  // namespace

Space::Space(bool large, const Geometry& geometry, HeapSource& source, PageMap& map, BlockPool& pool,
             const SegmentOwner& owner, bool whole_blocks)
    : large_(large),
      whole_blocks_(whole_blocks),
      unit_(large ? geometry.large_unit : geometry.small_unit),
      geometry_(geometry),
      source_(source),
      memory_(owner.memory != nullptr ? *owner.memory : source.memory),
      map_(map),
      pool_(pool),
      owner_(owner) {}

Space::~Space() {
  free_.clear();
  holes_.clear();
  for (const auto& heap : heaps_) {
    std::size_t committed = 0;
    for (Block* block = heap->first; block != nullptr; block = block->right) {
      if (block->state() == BlockState::hole) continue;
      // Single blocks are no whole granules; what lies between two holes is.
      std::byte* const start = block->data();
      std::size_t bytes = block->size;
      while (block->right != nullptr && block->right->state() != BlockState::hole) {
        block = block->right;
        bytes += block->size;
      }
      memory_.decommit(start, bytes);
      committed += bytes;
    }
    memory_.release(heap->base, heap->bytes);
    source_.limit.give_back(committed);
    source_.released.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  }
}

Block* Space::take(std::size_t size, std::size_t alignment, std::uint64_t done) {
  pool_.reserve(2);
  Block* block = free_.find(size, [&](const Block& range) {
    return range.free_value <= done && range.size >= padding(range, alignment) + size;
  });
  if (block == nullptr) return nullptr;
  if (whole_blocks_) return &take_range(*block, block->data(), block->size);
  return &take_range(*block, block->data() + padding(*block, alignment), size);
}

Block& Space::take_range(Block& free, std::byte* address, std::size_t size) noexcept {
  Block* block = &free;
  const auto before = static_cast<std::size_t>(address - free.data());
  remove(free);
  if (before != 0) {
    block = &split(free, before);
    insert(free, BlockState::free);
  }
  if (block->size > size) insert(split(*block, size), BlockState::free);
  map_.set_block(*block);
  taken_ += size;
  most_taken_ = std::max(most_taken_, taken_);
  all_taken_ += size;
  return *block;
}

void Space::give(Block& block) noexcept {
  growths_ = 0;
  taken_ -= block.size;
  insert(block, BlockState::free);
}

Block& Space::split(Block& block, std::size_t bytes) noexcept {
  Block& rest = pool_.take();
  // release: pairs with the acquire in PageMap::find_containing.
  rest.address.store(block.address.load(std::memory_order_relaxed) + bytes, std::memory_order_release);
  rest.size = block.size - bytes;
  rest.free_value = block.free_value;
  rest.large = large_;
  rest.heap = block.heap;
  rest.left = &block;
  rest.right = block.right;
  if (rest.right != nullptr) rest.right->left = &rest;
  block.right = &rest;
  block.size = bytes;
  return rest;
}

void Space::absorb_right(Block& block) noexcept {
  Block& right = *block.right;
  block.size += right.size;
  block.free_value = std::max(block.free_value, right.free_value);
  block.right = right.right;
  if (block.right != nullptr) block.right->left = &block;
  pool_.put(right);
}

void Space::remove(Block& block) noexcept {
  ranges(block.state()).erase(block);
  block.set_state(BlockState::moving);
}

Block& Space::insert(Block& block, BlockState state) noexcept {
  Block* merged = &block;
  if (block.right != nullptr && block.right->state() == state) {
    remove(*block.right);
    absorb_right(block);
  }
  if (block.left != nullptr && block.left->state() == state) {
    merged = block.left;
    remove(*merged);
    absorb_right(*merged);
  }
  merged->set_state(state);
  ranges(state).insert(*merged);
  return *merged;
}

Growth Space::grow(std::size_t size, std::size_t alignment, std::uint64_t done) {
  const auto fits = [&](const Block& range) { return range.size >= padding(range, alignment) + size; };
  if (free_.find(size, fits) != nullptr) return {};  // what came back meanwhile
  pool_.reserve(4);
  if (whole_blocks_) return add_whole_heap(round_up(size, geometry_.granule));
  if (is_whole()) return grow_by_heap(size, alignment);
  Site site = find_site(size, alignment);
  if (site.hole == nullptr) {
    // Said before address space is reserved and described, which for an absurd size is a lot.
    if (size > source_.limit.limit()) return no_room(size);
    const std::size_t least = round_up(size + padding_of_base(alignment), geometry_.granule);
    Status added = add_heap(least, std::max(least, geometry_.heap_bytes));
    if (!added.ok()) return {std::move(added)};
    site = find_site(size, alignment);
  }
  // What has moved away may have made another hole the better one.
  while (site.need != 0) {
    Moved moved = move_to(site, size, done);
    if (!moved.status.ok()) return {std::move(moved.status)};
    if (moved.arrived >= site.need) return {};
    if (moved.gone == 0) break;
    site = find_site(size, alignment);
  }
  if (site.need == 0) return {};
  ++growths_;
  const std::size_t wanted = std::min(step(site.need), site.hole->size);
  Growth grown = fill_hole(*site.hole, wanted);
  return grown.ok() || wanted == site.need ? grown : fill_hole(*site.hole, site.need);
}

Space::Site Space::find_site(std::size_t size, std::size_t alignment) noexcept {
  // The free end before a hole counts towards what is needed: growth in place. Padding for the
  // alignment is what the worst start would take, less where the start is known.
  Site best;
  holes_.for_each([&](Block& hole) {
    const bool tail = hole.left != nullptr && hole.left->state() == BlockState::free;
    const Block& start = tail ? *hole.left : hole;
    const std::size_t needed = padding(start, alignment) + size;
    const std::size_t present = tail ? start.size : 0;
    const std::size_t need = round_up(needed - std::min(needed, present), geometry_.granule);
    if (need > hole.size || (best.hole != nullptr && need >= best.need)) return;
    best = {&hole, need};
  });
  return best;
}

Moved Space::move_to(const Site& site, std::size_t size, std::uint64_t done) {
  if (!large_ || owner_.fixed) return {};  // upholds N2
  const std::size_t spare = std::max(most_taken_ / kPartSpare, geometry_.spare_bytes);
  if (committed_ + site.need <= most_taken_ + spare) return {};
  if (size < kLargeRequest && moved_ > kTimesMoved * most_taken_ + all_taken_ / kPartMoved) return {};
  const auto can_go = [&](const Block& block) {
    return &block != site.hole->left && block.free_value <= done &&
           !memory_.decommittable(block.data(), block.size).empty();
  };
  // Small blocks leave thousands of ranges, none of which holds a whole chunk: the largest tell.
  int looks = 0;
  Block* const one =
      free_.find_largest([&](const Block& range) { return ++looks > kLargestLooks || can_go(range); });
  if (one == nullptr || looks > kLargestLooks) return {};
  // The smallest is the least likely to serve anybody.
  looks = 0;
  Block* block = free_.find(geometry_.granule,
                            [&](const Block& range) { return ++looks > kSmallestLooks || can_go(range); });
  if (block == nullptr || looks > kSmallestLooks) block = one;
  const std::span<std::byte> range = memory_.decommittable(block->data(), block->size);
  Block& hole = *site.hole;
  pool_.reserve(4);
  SegmentLog::Room room_for_loss = source_.log.make_room(), room_for_gain = source_.log.make_room();
  map_.add_granules(reinterpret_cast<std::uintptr_t>(hole.data()), std::min(range.size(), hole.size), unit_);
  Moved moved = memory_.move(range, hole.data(), site.need, hole.size);
  if (moved.gone == 0) {  // no chunk is as small as the hole
    std::size_t bytes = 0;
    if (decommit(*block, bytes) == nullptr) return {};
    moved_ += bytes;
    return {bytes, 0, {}};
  }
  note_loss(std::move(room_for_loss), *block, range.first(moved.gone));
  make_hole(*block, range.first(moved.gone));
  if (moved.arrived != 0) {
    note_gain(std::move(room_for_gain), hole, {hole.data(), moved.arrived});
    make_free(hole, moved.arrived);
  }
  source_.limit.give_back(moved.gone - moved.arrived);
  committed_ -= moved.gone - moved.arrived;
  moved_ += moved.gone;
  return moved;
}

bool Space::grows_steadily() const noexcept {
  return growths_ >= kGrowthsInARow;
}

std::size_t Space::step(std::size_t need) const noexcept {
  const std::size_t part =
      grows_steadily() ? std::min(committed_ / kPartAhead, kMostAhead) : committed_ / kPartGrown;
  return std::max(need, round_down(part, geometry_.granule));
}

bool Space::is_whole() const noexcept {
  return geometry_.growth != SegmentGrowth::in_place || memory_.commits_whole();
}

Growth Space::grow_by_heap(std::size_t size, std::size_t alignment) {
  const std::size_t least = round_up(size + padding_of_base(alignment), geometry_.granule);
  if (geometry_.growth == SegmentGrowth::fixed) {
    const std::size_t fixed = large_ ? kFixedLargeHeap : kFixedSmallHeap;
    return add_whole_heap(size < kOfItsOwn ? std::max(least, fixed) : round_up(least, kFixedSmallHeap));
  }
  // A quarter of what there is at once, so that the number of heaps grows with the logarithm of their bytes.
  const std::size_t wanted = round_up(
      std::clamp(committed_ / 4, large_ ? kLeastLargeHeap : kLeastSmallHeap, kLargestHeap), kLeastSmallHeap);
  Growth added = add_whole_heap(std::max(least, wanted));
  return added.ok() || wanted <= least ? added : add_whole_heap(least);
}

Growth Space::add_whole_heap(std::size_t bytes) {
  // Before the reservation, which may take the memory already.
  LimitShare share(source_.limit, bytes);
  if (!share) return no_room(bytes);
  Status added = add_heap(bytes, bytes);
  if (!added.ok()) return {std::move(added)};
  added = commit(*heaps_.back()->first, bytes);
  if (added.ok()) {
    share.use_up();
  } else {
    release_heap(heaps_.size() - 1);
  }
  return {std::move(added)};
}

std::size_t Space::padding_of_base(std::size_t alignment) const noexcept {
  return alignment > geometry_.granule ? alignment : 0;
}

Growth Space::no_room(std::size_t bytes) const {
  return {Status(ErrorCode::OutOfMemory, "the memory limit of " + std::to_string(source_.limit.limit()) +
                                             " bytes leaves no room for " + std::to_string(bytes) + " more"),
          true};
}

Growth Space::fill_hole(Block& hole, std::size_t bytes) {
  LimitShare share(source_.limit, bytes);
  if (!share) return no_room(bytes);
  Status committed = commit(hole, bytes);
  if (committed.ok()) share.use_up();
  return {std::move(committed)};
}

Status Space::commit(Block& hole, std::size_t bytes) {
  SegmentLog::Room room;
  try {
    map_.add_granules(reinterpret_cast<std::uintptr_t>(hole.data()), bytes, unit_);
    room = source_.log.make_room();
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::OutOfMemory,
                  "no host memory for the map of " + std::to_string(bytes) + " bytes of the device's");
  }
  Status committed =
      grows_steadily() ? memory_.commit_lasting(hole.data(), bytes) : memory_.commit(hole.data(), bytes);
  if (!committed.ok()) return committed;
  committed_ += bytes;
  note_gain(std::move(room), hole, {hole.data(), bytes});
  make_free(hole, bytes);
  return {};
}

void Space::make_free(Block& hole, std::size_t bytes) noexcept {
  remove(hole);
  if (hole.size > bytes) insert(split(hole, bytes), BlockState::hole);
  hole.free_value = 0;
  insert(hole, BlockState::free);
}

Block& Space::make_hole(Block& block, std::span<std::byte> range) noexcept {
  const auto head = static_cast<std::size_t>(range.data() - block.data());
  remove(block);
  Block* empty = &block;
  if (head != 0) {
    empty = &split(block, head);
    insert(block, BlockState::free);
  }
  if (empty->size > range.size()) insert(split(*empty, range.size()), BlockState::free);
  return insert(*empty, BlockState::hole);
}

Status Space::add_heap(std::size_t least, std::size_t wanted) {
  heaps_.reserve(heaps_.size() + 1);
  auto heap = std::make_unique<Heap>();
  heap->bytes = wanted;
  void* base = nullptr;
  Status reserved = memory_.reserve(heap->bytes, &base);
  while (!reserved.ok() && heap->bytes > least) {
    // Address space can be limited too.
    heap->bytes = std::max(least, round_up(heap->bytes / 4, geometry_.granule));
    reserved = memory_.reserve(heap->bytes, &base);
  }
  if (!reserved.ok()) return reserved;
  heap->base = static_cast<std::byte*>(base);
  Block& hole = pool_.take();
  hole.address.store(reinterpret_cast<std::uintptr_t>(base),
                     std::memory_order_release);  // release: as in split
  hole.size = heap->bytes;
  hole.large = large_;
  hole.free_value = 0;
  hole.heap = heap.get();
  hole.left = nullptr;
  hole.right = nullptr;
  heap->first = &hole;
  heaps_.push_back(std::move(heap));
  insert(hole, BlockState::hole);
  source_.created.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  return {};
}

int Space::memory_beside(const Block& block, std::span<std::byte> range) noexcept {
  const bool here = block.state() != BlockState::hole;
  const auto is_memory = [](const Block* beside) {
    return beside != nullptr && beside->state() != BlockState::hole;
  };
  const bool left = range.data() != block.data() ? here : is_memory(block.left);
  const bool right = range.data() + range.size() != block.data() + block.size ? here : is_memory(block.right);
  return static_cast<int>(left) + static_cast<int>(right);
}

void Space::note_gain(SegmentLog::Room room, const Block& hole, std::span<std::byte> range) noexcept {
  source_.figures.gain(large_, range.size(), memory_beside(hole, range));
  source_.log.note(std::move(room), {SegmentChange::Kind::gained, range.data(), range.size(), source_.kind,
                                     owner_.slot, owner_.pool.load(std::memory_order_relaxed)});
}

void Space::note_loss(SegmentLog::Room room, const Block& block, std::span<std::byte> range) noexcept {
  source_.figures.lose(large_, range.size(), memory_beside(block, range));
  source_.log.note(std::move(room), {SegmentChange::Kind::lost, range.data(), range.size(), source_.kind,
                                     owner_.slot, owner_.pool.load(std::memory_order_relaxed)});
}

void Space::sort_heaps() noexcept {
  std::ranges::sort(heaps_, {}, [](const auto& heap) { return heap->base; });
}

void Space::release_heap(std::size_t index) noexcept {
  Heap& heap = *heaps_[index];
  remove(*heap.first);
  pool_.put(*heap.first);
  map_.remove_granules(reinterpret_cast<std::uintptr_t>(heap.base), heap.bytes);
  memory_.release(heap.base, heap.bytes);
  source_.released.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  heaps_.erase(heaps_.begin() + static_cast<std::ptrdiff_t>(index));
}

Block* Space::decommit(Block& block, std::size_t& bytes) noexcept {
  const std::span<std::byte> range = memory_.decommittable(block.data(), block.size);
  if (range.empty()) return nullptr;
  SegmentLog::Room room;
  try {
    pool_.reserve(2);
    room = source_.log.make_room();
  } catch (const std::bad_alloc&) {
    return nullptr;  // no host memory for the pieces: keep it whole
  }
  bytes = range.size();
  note_loss(std::move(room), block, range);
  memory_.decommit(range.data(), bytes);
  source_.limit.give_back(bytes);
  committed_ -= bytes;
  return &make_hole(block, range);
}

std::size_t Space::release_whole(std::uint64_t done) noexcept {
  std::size_t released = 0;
  for (std::size_t i = heaps_.size(); i-- > 0;) {
    const Block& block = *heaps_[i]->first;
    if (block.right != nullptr || block.state() != BlockState::free || block.free_value > done) continue;
    const std::size_t bytes = heaps_[i]->bytes;
    SegmentLog::Room room;
    try {
      room = source_.log.make_room();
    } catch (const std::bad_alloc&) {
      continue;  // nobody could be told
    }
    note_loss(std::move(room), block, {heaps_[i]->base, bytes});
    memory_.decommit(heaps_[i]->base, bytes);
    release_heap(i);
    committed_ -= bytes;
    source_.limit.give_back(bytes);  // only now, since it may be the release that gives the memory back (M2)
    released += bytes;
  }
  return released;
}

std::size_t Space::release_empty(std::uint64_t done) noexcept {
  if (is_whole()) return release_whole(done);
  std::size_t released = 0;
  for (std::size_t i = heaps_.size(); i-- > 0;) {
    for (Block* block = heaps_[i]->first; block != nullptr; block = block->right) {
      if (block->state() != BlockState::free || block->free_value > done) continue;
      std::size_t bytes = 0;
      Block* const hole = decommit(*block, bytes);
      if (hole == nullptr) continue;
      released += bytes;
      block = hole;
    }
    if (heaps_[i]->first->state() == BlockState::hole && heaps_[i]->first->right == nullptr) release_heap(i);
  }
  return released;
}

std::uint64_t Space::next_free_value(std::uint64_t done, std::uint64_t submitted) const noexcept {
  std::uint64_t next = 0;
  free_.for_each([&](const Block& block) {
    if (block.free_value <= done || block.free_value > submitted) return;
    next = next == 0 ? block.free_value : std::min(next, block.free_value);
  });
  return next;
}

}  // namespace millrace
