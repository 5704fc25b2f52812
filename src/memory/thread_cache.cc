#include "memory/thread_cache.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr std::size_t kPortion = kMiB;
/// Allocations; filling a cache again costs as much as some hundred of them.
constexpr std::uint64_t kBetweenFlushes = 512;
/// In a row: a program that goes on to other sizes misses a few times at once, and then not for long.
constexpr int kMostFlushes = 8;
/// As many as are done at once at most: more different blocks are of no use.
constexpr int kMostParked = 64;

}  // namespace

bool CacheBudget::try_take(std::size_t bytes) noexcept {
  // relaxed: a count that publishes nothing.
  std::size_t left = left_.load(std::memory_order_relaxed);
  while (left >= bytes) {
    if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void CacheBudget::give_back(std::size_t bytes) noexcept {
  left_.fetch_add(bytes, std::memory_order_relaxed);
}

ThreadCache::ThreadCache(const Shared& shared, std::uint64_t thread) : shared_(shared), thread_(thread) {
  for (int c = 0; c < SizeClass::kCount; ++c) {
    const std::size_t size = SizeClass::units(c) * shared.geometry.small_unit;
    const auto fits = static_cast<int>(shared.geometry.magazine_bytes / size);
    magazine_limit_[static_cast<std::size_t>(c)] =
        std::clamp(fits, 2, std::max(2, shared.geometry.magazine_blocks));
  }
}

ArenaCache* ThreadCache::find(const Arena* arena) noexcept {
  for (const auto& cache : caches_) {
    if (cache && cache->arena == arena) return cache.get();
  }
  return nullptr;
}

ArenaCache& ThreadCache::select(Arena& arena) {
  ArenaCache* found = find(&arena);
  if (found == nullptr) {
    auto made = std::make_unique<ArenaCache>(arena);
    auto& place = caches_[static_cast<std::size_t>(next_victim_)];
    next_victim_ = (next_victim_ + 1) % kArenas;
    if (place) flush(*place);
    place = std::move(made);
    found = place.get();
  }
  current_ = found;
  return *found;
}

bool ThreadCache::grow_portion(std::size_t bytes) noexcept {
  const std::size_t more = std::max(kPortion, bytes);
  if (portion_ + more > shared_.thread_bytes || !shared_.budget.try_take(more)) return false;
  portion_ += more;
  return true;
}

bool ThreadCache::park(ArenaCache& cache, Block& block) noexcept {
  const std::uint64_t value = block.own_use.load(std::memory_order_relaxed);  // relaxed: as in push
  cache.submitted = cache.timeline->submitted();
  ArenaCache::Parked& parked = cache.parked[block.size_class];
  if (value <= cache.submitted || parked.count == kMostParked) return false;
  block.next = parked.first;
  parked.first = &block;
  if (parked.last == nullptr) parked.last = &block;
  ++parked.count;
  parked.value = std::max(parked.value, value);
  return true;
}

bool ThreadCache::may_unpark(const ArenaCache& cache, std::uint8_t size_class) noexcept {
  const ArenaCache::Parked& parked = cache.parked[size_class];
  if (parked.first == nullptr) return false;
  return parked.count >= kMostParked || cache.timeline->submitted() >= parked.value;
}

void ThreadCache::unpark(ArenaCache& cache, std::uint8_t size_class) noexcept {
  ArenaCache::Parked& parked = cache.parked[size_class];
  if (parked.first == nullptr) return;
  ArenaCache::Magazine& magazine = cache.magazines[size_class];
  parked.last->next = magazine.first;
  magazine.first = parked.first;
  magazine.count += parked.count;
  parked = {};
}

void ThreadCache::make_room(ArenaCache& cache, Block& block) {
  // Half of what the magazine holds, and this one, so that the next frees and allocations find room
  // and blocks.
  ArenaCache::Magazine& magazine = cache.magazines[block.size_class];
  BlockList back;
  back.push(&block);
  std::size_t taken = 0;
  for (int keep = magazine.count / 2; magazine.count > keep;) {
    Block* given = magazine.first;
    magazine.first = given->next;
    --magazine.count;
    taken += given->size;
    back.push(given);
  }
  cached_.subtract(taken);
  cache.arena->give(back);
}

void ThreadCache::fill(ArenaCache& cache, BlockList blocks) {
  BlockList back;
  while (Block* block = blocks.pop()) {
    if (!has_room(block->size)) {
      back.push(block);
      continue;
    }
    ArenaCache::Magazine& magazine = cache.magazines[block->size_class];
    block->next = magazine.first;
    magazine.first = block;
    ++magazine.count;
    cached_.add(block->size);
  }
  if (!back.empty()) cache.arena->give(back);
}

void ThreadCache::send(Block& block) {
  Unsent* place = nullptr;
  for (Unsent& unsent : unsent_) {
    if (unsent.arena == block.arena) place = &unsent;
    if (place == nullptr && unsent.arena == nullptr) place = &unsent;
  }
  if (place == nullptr) {
    place = &unsent_[static_cast<std::size_t>(block.arena->slot()) % unsent_.size()];
    send_all(*place);
  }
  place->arena = block.arena;
  block.set_state(BlockState::unsent);
  place->blocks.push(&block);
  unsent_bytes_.add(block.size);
  if (place->blocks.count >= shared_.geometry.unsent_blocks ||
      place->blocks.bytes >= shared_.geometry.refill_bytes) {
    send_all(*place);
  }
}

void ThreadCache::send_all(Unsent& unsent) noexcept {
  unsent_bytes_.subtract(unsent.blocks.bytes);
  if (unsent.arena != nullptr) unsent.arena->give_remote(unsent.blocks);
  unsent = {};
}

bool ThreadCache::flush_before_growth(const Arena& arena) noexcept {
  const std::uint64_t now = counters_.allocations();
  for (; now >= next_flush_; next_flush_ += std::max(next_flush_ / 8, kBetweenFlushes)) {
    flushes_ = std::min(flushes_ + 1, kMostFlushes);
  }
  if (flushes_ == 0) return false;
  ArenaCache* const cache = find(&arena);
  if (cache == nullptr || !flush(*cache)) return false;
  --flushes_;
  return true;
}

bool ThreadCache::flush(ArenaCache& cache) noexcept {
  BlockList back;
  for (std::uint8_t size_class = 0; size_class < SizeClass::kCount; ++size_class) unpark(cache, size_class);
  for (ArenaCache::Magazine& magazine : cache.magazines) {
    while (Block* block = magazine.first) {
      magazine.first = block->next;
      back.push(block);
    }
    magazine.count = 0;
  }
  if (back.empty()) return false;
  cached_.subtract(back.bytes);
  cache.arena->give(back);
  return true;
}

void ThreadCache::flush() noexcept {
  for (const auto& cache : caches_) {
    if (cache) flush(*cache);
  }
  for (Unsent& unsent : unsent_) send_all(unsent);
  shared_.budget.give_back(portion_);
  portion_ = 0;
  publish_peak();
}

void ThreadCache::fold() noexcept {
  sync::LockGuard lock(shared_.totals_mutex);
  // Both at once under the readers' mutex, so the order between them does not matter here.
  counters_.add_freed_to(shared_.retired_totals);
  counters_.add_allocated_to(shared_.retired_totals);
  add_unasked_to(shared_.retired_totals);
}

}  // namespace millrace
