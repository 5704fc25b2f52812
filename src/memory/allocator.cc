#include "memory/allocator.h"

#include <bit>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "device/status.h"
#include "device/thread_contexts.h"
#include "sync/prefetch.h"

namespace millrace {
namespace {

constexpr std::size_t kLargestRequest = std::size_t{1} << 46;
constexpr std::size_t kLargestAlignment = std::size_t{1} << 30;
constexpr std::size_t kPage = 4096;
constexpr const char* kDeallocate = "Device::deallocate";

/// std::has_single_bit counts bits, which baseline x86-64 does in a function of its own.
constexpr bool is_power_of_two(std::size_t value) noexcept {
  return value != 0 && (value & (value - 1)) == 0;
}

/// A live block changes hands, to the one who frees it, if its word is still this.
inline bool try_take(Block& block, std::uint64_t word, BlockState next) noexcept {
  // acquire: pairs with the release in hand_out, so that what was done to the block since is seen.
  return block.word.compare_exchange_strong(word, BlockWord::make(next, BlockWord::generation(word) + 1),
                                            std::memory_order_acquire, std::memory_order_relaxed);
}

std::string hex(const void* address) {
  char text[2 + 16 + 1];
  std::snprintf(text, sizeof text, "%p", address);
  return text;
}

}  // namespace

Allocator::Allocator(Core& core, const Kind& kind, std::shared_ptr<PageMap> map)
    : core_(core),
      streams_(StreamPool::of(core)),
      kind_(kind.kind),
      geometry_(kind.geometry),
      small_shift_(std::countr_zero(geometry_.small_unit)),
      protect_(core.options().protect),
      free_at_once_(!protect_ && kind_ == MemoryKind::device),
      limit_(kind.limit),
      peaks_(core.options().exact_peaks ? 0 : geometry_.peak_quantum),
      budget_(core.options().all_caches_bytes),
      source_{kind.memory, limit_, kind_},
      map_(std::move(map)),
      cached_slots_(static_cast<unsigned>(streams_.first_captured())),
      arenas_(static_cast<std::size_t>(streams_.size())) {}

Allocator::~Allocator() = default;

Arena& Allocator::make_arena(int slot) {
  auto& entry = arenas_[static_cast<std::size_t>(slot)];
  if (static_cast<unsigned>(slot) >= cached_slots_) {
    throw_rule("stale-stream", "the capture has ended, and with it its stream; allocate for another one",
               core_.error_context(allocate_call(), slot));
  }
  sync::LockGuard lock(making_);
  if (Arena* arena = entry.load(std::memory_order_relaxed))
    return *arena;  // relaxed: written under the mutex
  owned_.push_back(std::make_unique<Arena>(slot, ArenaUse::stream, geometry_, source_, *map_, *this));
  // release: pairs with the acquires in arena_of and for_each_arena.
  entry.store(owned_.back().get(), std::memory_order_release);
  return *owned_.back();
}

std::unique_ptr<ContextPart> Allocator::make_part(Context& context) {
  std::size_t threads = 1;
  core_.with_contexts([&](std::span<Context* const> contexts) { threads += contexts.size(); });
  sync::raise_to(most_threads_, threads);
  return std::make_unique<ThreadCache>(
      ThreadCache::Shared{geometry_, budget_, core_.options().thread_cache_bytes, peaks_, totals_mutex_,
                          retired_totals_, core_.backend().joins_operations()},
      context.thread());
}

void Allocator::finish_close() noexcept {
  std::vector<std::unique_ptr<Arena>> arenas;
  std::vector<std::unique_ptr<GraphMemory>> graphs;
  {
    sync::LockGuard lock(making_);
    for (auto& entry : arenas_) entry.store(nullptr, std::memory_order_relaxed);  // nobody is inside any more
    arenas.swap(owned_);
  }
  {
    sync::LockGuard lock(graphs_mutex_);
    graphs.swap(graphs_);
  }
  arenas.clear();
  drop_sources(Sources::all);
}

BlockRequest Allocator::request_for(std::size_t bytes, std::size_t alignment, const char* call) const {
  if (!is_power_of_two(alignment) || alignment > kLargestAlignment) {
    throw Error(ErrorCode::InvalidArgument,
                "an alignment of " + std::to_string(alignment) +
                    " was asked for; it must be a power of two up to 1 GiB",
                core_.error_context(call));
  }
  BlockRequest request;
  request.requested = bytes;
  request.large = bytes > geometry_.small_limit;
  const std::size_t unit = request.large ? geometry_.large_unit : geometry_.small_unit;
  request.alignment = std::max(alignment, unit);
  if (request.large) {
    request.size = round_up(std::min(bytes, kLargestRequest), unit);
  } else {
    request.size_class =
        static_cast<std::uint8_t>(SizeClass::of(std::max<std::size_t>(1, (bytes + unit - 1) / unit)));
    request.size = SizeClass::units(static_cast<int>(request.size_class)) * unit;
  }
  return request;
}

void* Allocator::allocate(Context& context, int slot, std::size_t bytes, std::size_t alignment) {
  {
    Context::Hold hold = context.hold();
    if (!hold) core_.throw_closed(allocate_call());
    if (slot == kCurrentSlot) slot = StreamPool::current_if_leased(context).slot;
    ThreadCache& cache = cache_of(context);
    ArenaCache* own = cache.current();
    if (own == nullptr || own->slot != slot) [[unlikely]] {
      // kCurrentSlot is no stream's, and what a capture allocates is not cached.
      own = static_cast<unsigned>(slot) < cached_slots_ ? &cache.of(arena_of(slot)) : nullptr;
    }
    if (own != nullptr && bytes <= geometry_.small_limit && alignment <= geometry_.small_unit &&
        is_power_of_two(alignment)) [[likely]] {
      const std::size_t units = (bytes + geometry_.small_unit - 1) >> small_shift_;
      const int size_class = SizeClass::of(units == 0 ? 1 : units);
      Block* const block = cache.pop(*own, static_cast<std::uint8_t>(size_class));
      if (block != nullptr) [[likely]]
        return give_out(*block, bytes);
    }
  }
  const BlockRequest request = request_for(bytes, alignment, allocate_call());
  if (slot == kCurrentSlot) slot = StreamPool::current(context, allocate_call()).slot;
  return allocate_slow(context, {slot}, request);
}

void* Allocator::give_out(Block& block, std::size_t requested) noexcept {
  block.set_unasked(block.size - requested);
  if (protect_) unhide(block);
  return block.data();
}

[[gnu::always_inline]] inline Block* Allocator::find_live(const void* address,
                                                          std::uint64_t& word) const noexcept {
  Block* block = map_->find(reinterpret_cast<std::uintptr_t>(address));
  // What follows reads the line and then writes it, and another thread may have written it last.
  sync::prefetch_for_write(block);
  // relaxed: the look-up ordered it; a descriptor that became something else has another address.
  if (block == nullptr || block->data() != address) [[unlikely]]
    return nullptr;
  // acquire: pairs with the release in ThreadCache::hand_out.
  word = block->word.load(std::memory_order_acquire);
  return BlockWord::state(word) == BlockState::live ? block : nullptr;
}

Block& Allocator::live_block(const void* address, const char* call, std::uint64_t& word) const {
  Block* const block = find_live(address, word);
  if (block == nullptr) throw_not_live(address, call);
  return *block;
}

void Allocator::throw_not_live(const void* address, const char* call) const {
  const Block* const block = map_->find(reinterpret_cast<std::uintptr_t>(address));
  if (block == nullptr || block->data() != address) {
    throw Error(
        ErrorCode::InvalidArgument,
        hex(address) + " is not the start of an allocation of this device; pass what allocate returned",
        core_.error_context(call));
  }
  throw_rule("double-free", hex(address) + " has been freed already; free each allocation once",
             core_.error_context(call));
}

inline bool Allocator::needs_own_use(const Block& block, std::uint64_t covering) const noexcept {
  const Timeline& timeline = block.arena->timeline();
  if (protect_ || timeline.trails()) return true;
  // A4: the host that gets it next is ordered by nothing but the end of the stream's work, and what is
  // captured ends with the graph only.
  return block.kind == MemoryKind::pinned && (block.arena->is_captured() || timeline.completed() < covering);
}

inline bool Allocator::needs_arena(const Block& block, std::uint64_t word,
                                   std::uint64_t covering) const noexcept {
  return (word & BlockWord::kMarks) != 0 || needs_own_use(block, covering);
}

void Allocator::count_free(ThreadCache* cache, MemoryKind kind, std::size_t bytes, bool large,
                           bool used) noexcept {
  if (cache != nullptr) return cache->count_free(bytes, large, used);
  Allocator& counted = of(core_, kind);
  sync::LockGuard lock(counted.totals_mutex_);
  counted.retired_totals_ += {.freed_bytes = bytes,
                              .frees = 1,
                              .large_freed_bytes = large ? bytes : 0,
                              .large_frees = large ? std::uint64_t{1} : 0};
  PeakShare share;
  share.on_free(counted.peaks_, bytes, large, used);
  share.publish(counted.peaks_);
}

bool Allocator::try_free_used(ThreadCache* cache, Block& block, std::uint64_t word, std::uint64_t covering,
                              OnMisuse on_misuse, CoverList& to_cover) {
  Arena& arena = *block.arena;
  const bool host_waits = block.kind == MemoryKind::pinned;
  OwnEnd own = OwnEnd::none;
  if (host_waits || needs_own_use(block, covering)) {
    own = arena.is_captured() ? OwnEnd::graph : host_waits ? OwnEnd::covering : OwnEnd::recorded;
  }
  // A5: what is pinned is the host's next, which nothing checks.
  const Uncovered uncovered = on_misuse == OnMisuse::forgive ? Uncovered::keep
                              : protect_ && !host_waits      ? Uncovered::check
                                                             : Uncovered::refuse;
  FreedBlock freed;
  if (!arena.free_used(block, BlockWord::generation(word), uncovered, own, &to_cover, &freed)) return false;
  count_free(cache, block.kind, freed.size, freed.large, freed.pending);
  return true;
}

bool Allocator::try_free(ThreadCache* cache, Block& block, std::uint64_t word, std::uint64_t covering) {
  Arena& arena = *block.arena;
  // What a pool's is may be another thread's to say until it is taken: the pool may be restored meanwhile
  // (N3).
  ArenaCache* own = cache == nullptr || arena.is_direct() || block.large ? nullptr : cache->find(&arena);
  const BlockState next = own != nullptr ? BlockState::cached : BlockState::moving;
  if (!try_take(block, word, next)) return false;
  block.free_value = covering;
  count_free(cache, block.kind, block.size, block.large, false);
  if (own != nullptr) {
    cache->push(*own, block);
  } else if (arena.is_direct() || (block.large && cache != nullptr && cache->find(&arena) != nullptr)) {
    arena.give(block);
  } else if (!block.large && cache != nullptr) {
    cache->send(block);
  } else {
    BlockList one;
    one.push(&block);
    arena.give_remote(one);
  }
  return true;
}

void Allocator::deallocate(Context& context, void* address, OnMisuse on_misuse) {
  Context::Hold hold = context.hold();
  if (!hold) return;  // closed: the memory is gone, and so is the need to free it
  std::uint64_t word = 0;
  Block* const block = find_live(address, word);
  if (block == nullptr) [[unlikely]]
    throw_not_live(address, kDeallocate);
  // Most blocks are of the arena that the thread has used last. What is asked of that does not wait for the
  // look-up.
  ThreadCache& cache = cache_of(context);
  ArenaCache* const own = cache.current();
  if (own != nullptr && own->arena == block->arena && !block->large && (word & BlockWord::kMarks) == 0 &&
      free_at_once_ && !own->timeline->trails()) [[likely]] {
    const std::uint64_t covering = own->timeline->covering();
    if (try_take(*block, word, BlockState::cached)) [[likely]] {
      block->free_value = covering;
      cache.count_free(block->size);
      cache.push(*own, *block);
      return;
    }
  }
  CoverList to_cover;
  deallocate_slow(&cache_of(context, block->kind), *block, word, on_misuse, to_cover);
  if (to_cover.empty()) return;
  hold.leave();
  cover(to_cover);
}

void Allocator::deallocate_first(Core& core, void* address, OnMisuse on_misuse) {
  Allocator& allocator = of(core);
  Context* context = nullptr;
  try {
    context = &ThreadContexts::create(core);
  } catch (const std::bad_alloc&) {
    return allocator.deallocate_without_context(address, on_misuse);
  }
  allocator.deallocate(*context, address, on_misuse);
}

void Allocator::deallocate_without_context(void* address, OnMisuse on_misuse) {
  CoverList to_cover;
  {
    // Keeps the arenas and their blocks there, as the hold of a context does.
    const sync::Gate::Pass pass = core_.try_enter();
    if (!pass) return;  // as in deallocate
    std::uint64_t word = 0;
    Block& block = live_block(address, kDeallocate, word);
    deallocate_slow(nullptr, block, word, on_misuse, to_cover);
  }
  cover(to_cover);
}

void Allocator::cover(const CoverList& list) noexcept {
  for (const TimelinePoint& point : list.points()) streams_.cover(point);
  if (list.more()) streams_.cover_all();
}

void Allocator::deallocate_slow(ThreadCache* cache, Block& block, std::uint64_t word, OnMisuse on_misuse,
                                CoverList& to_cover) {
  const void* const address = block.data();
  const std::uint64_t meant = BlockWord::generation(word);
  const auto try_to = [&] {
    const std::uint64_t covering = block.arena->timeline().covering();
    return needs_arena(block, word, covering)
               ? try_free_used(cache, block, word, covering, on_misuse, to_cover)
               : try_free(cache, block, word, covering);
  };
  while (!try_to()) {
    // Either only a mark has changed, or another thread has freed it, and it may be somebody else's by now,
    // also as another block.
    const Block& now = live_block(address, kDeallocate, word);
    if (&now != &block || BlockWord::generation(word) != meant) {
      throw_rule("double-free",
                 hex(address) + " was freed by another thread during the call; free each allocation once",
                 core_.error_context(kDeallocate));
    }
  }
}

bool Allocator::reached(const TimelinePoint& point) noexcept {
  if (!ended(point)) return false;
  if (protect_) core_.backend().host_knows(point);
  return true;
}

void Allocator::hide(const Block& block) noexcept {
  if (!protect_) return;
  const auto start = reinterpret_cast<std::uintptr_t>(block.data());
  const std::uintptr_t first = round_up(start, kPage);
  const std::uintptr_t last = round_down(start + block.size, kPage);
  if (first < last) core_.backend().set_accessible(reinterpret_cast<void*>(first), last - first, false);
}

void Allocator::unhide(const Block& block) noexcept {
  // Outwards: a page that the block shares with a hidden neighbour must be usable.
  const auto start = reinterpret_cast<std::uintptr_t>(block.data());
  const std::uintptr_t first = round_down(start, kPage);
  const std::uintptr_t last = round_up(start + block.size, kPage);
  core_.backend().set_accessible(reinterpret_cast<void*>(first), last - first, true);
}

}  // namespace millrace
