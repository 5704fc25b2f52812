// Private pools: their life, what is allocated from them and what goes back.
#include "memory/pool.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "device/status.h"
#include "memory/allocator.h"

namespace millrace {

using detail::PoolState;

namespace {

sync::atomic<std::uint64_t> last_number{0};  // of all devices' pools

[[noreturn]] void throw_without_users(const Core& core, const char* call) {
  throw_rule(
      "pool-without-users",
      "the pool has no users any more, so that its memory goes back; add one while there is another one, or "
      "make a new pool",
      core.error_context(call));
}

}  // namespace

Allocator::Pool Allocator::create_pool(const MemoryPoolOptions& options) {
  const TellAtEnd tell(*this);
  static_cast<void>(release_pools(nullptr));
  sync::LockGuard lock(pools_mutex_);
  auto idle = std::ranges::find_if(pools_, [&](const auto& pool) {
    const bool sourced = pool->source != nullptr;
    return pool->number() == 0 && pool->whole_blocks == options.no_split &&
           sourced == (options.source != nullptr) && !(sourced && pool->source->has());
  });
  if (idle == pools_.end()) {
    std::unique_ptr<SourcedSegments> segments;
    if (options.source != nullptr) segments = std::make_unique<SourcedSegments>(geometry_.granule);
    idle = pools_.insert(idle,
                         std::make_unique<PoolState>(cached_slots_, options.no_split, std::move(segments)));
  }
  PoolState& pool = **idle;
  if (pool.source != nullptr) pool.source->set(options.source);
  // relaxed: only uniqueness matters.
  const std::uint64_t number = last_number.fetch_add(1, std::memory_order_relaxed) + 1;
  pool.for_each_arena([&](Arena& arena) { arena.set_pool(number); });
  pool.begin(number, options.use_on_oom);
  return {&pool, number};
}

void Allocator::check_pool(const Pool& pool, const char* call) const {
  if (pool.state != nullptr && pool.state->number() == pool.number) return;
  throw Error(ErrorCode::InvalidArgument,
              "the pool is gone: it had no users, and all of its memory was given back; make a new one",
              core_.error_context(call));
}

PoolState& Allocator::used_pool(const Pool& pool, const char* call) const {
  check_pool(pool, call);
  if (pool.state->users() == 0) throw_without_users(core_, call);
  return *pool.state;
}

void* Allocator::allocate_in(const Pool& pool, Context& context, int slot, std::size_t bytes,
                             std::size_t alignment) {
  constexpr const char* kCall = "MemoryPool::allocate";
  PoolState& state = used_pool(pool, kCall);
  if (static_cast<unsigned>(slot) >= cached_slots_) {
    throw_rule("captured-work", "memory for a stream of a capture is its graph's; allocate it without a pool",
               core_.error_context(kCall, slot));
  }
  if (state.whole_blocks && alignment > geometry_.granule) {
    throw Error(ErrorCode::InvalidArgument,
                "an alignment of " + std::to_string(alignment) +
                    " was asked for; where blocks are segments it is at most " +
                    std::to_string(geometry_.granule),
                core_.error_context(kCall, slot));
  }
  return allocate_slow(context, {slot, &state}, request_for(bytes, alignment, kCall));
}

Arena& Allocator::arena_of(const Target& target) {
  if (target.pool == nullptr) return arena_of(target.slot);
  if (Arena* const arena = target.pool->arena(target.slot)) return *arena;
  sync::LockGuard lock(making_);
  if (Arena* const arena = target.pool->arena(target.slot)) return *arena;
  owned_.push_back(std::make_unique<Arena>(
      target.slot, target.pool->whole_blocks ? ArenaUse::whole_blocks : ArenaUse::pool, geometry_, source_,
      *map_, *this, target.pool->source.get()));
  owned_.back()->set_pool(target.pool->number());
  target.pool->set_arena(target.slot, *owned_.back());
  return *owned_.back();
}

void Allocator::add_pool_user(const Pool& pool, const char* call) {
  check_pool(pool, call);
  if (!pool.state->add_user()) throw_without_users(core_, call);
}

std::uint64_t Allocator::drop_pool_user(const Pool& pool, const char* call) {
  check_pool(pool, call);
  const std::uint64_t before = pool.state->drop_user();
  if (before == 0) throw_without_users(core_, call);
  if (before > 1) return before - 1;
  const TellAtEnd tell(*this);
  {
    sync::LockGuard lock(pools_mutex_);
    pool.state->ends.clear();
    for (int slot = 0; static_cast<unsigned>(slot) < cached_slots_; ++slot) {
      const TimelinePoint end{slot, streams_.timeline(slot).covering()};
      if (!ended(end)) pool.state->ends.push_back(end);
    }
    pool.state->dropped = true;
  }
  publish_own_peak();
  settle_streams();
  static_cast<void>(release_pools(nullptr));
  return 0;
}

std::size_t Allocator::trim_pool(const Pool& pool) {
  const TellAtEnd tell(*this);
  publish_own_peak();
  settle_streams();
  return release_pools(pool.state).bytes;
}

void Allocator::end_pool(PoolState& pool) noexcept {
  pool.end();
  if (pool.source != nullptr) ended_sources_.fetch_add(1, std::memory_order_relaxed);
}

void Allocator::drop_sources(Sources which) noexcept {
  for (;;) {
    std::shared_ptr<SegmentSource> gone;
    sync::LockGuard lock(pools_mutex_);
    for (const auto& pool : pools_) {
      const bool is_over = pool->number() == 0;
      if (pool->source == nullptr || !pool->source->has() || (which == Sources::ended && !is_over)) continue;
      gone = pool->source->take();  // upholds N5
      if (is_over) ended_sources_.fetch_sub(1, std::memory_order_relaxed);
      break;
    }
    if (gone == nullptr) return;
  }
}

Allocator::Released Allocator::release_pools(const PoolState* only) noexcept {
  Released released;
  sync::LockGuard lock(pools_mutex_);
  for (const auto& pool : pools_) {
    if (!pool->dropped || (only != nullptr && pool.get() != only)) continue;
    std::erase_if(pool->ends, [this](const TimelinePoint& end) { return reached(end); });
    if (!pool->ends.empty()) {
      // upholds N2
      const TimelinePoint& end = pool->ends.front();
      if (end.value <= streams_.timeline(end.queue).submitted()) released.next = end;
      continue;
    }
    bool empty = true;
    pool->for_each_arena([&](Arena& arena) {
      released.bytes += arena.release_empty();
      empty = arena.is_empty() && empty;
    });
    if (!empty) continue;
    pool->dropped = false;
    end_pool(*pool);
  }
  return released;
}

std::vector<MemorySegment> Allocator::pool_segments(const Pool& pool) {
  std::vector<MemorySegment> all;
  if (pool.state->number() != pool.number) return all;
  pool.state->for_each_arena([&](Arena& arena) { list(arena, all); });
  std::ranges::sort(all, std::less<>(), &MemorySegment::address);
  return all;
}

}  // namespace millrace
