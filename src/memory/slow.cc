// What a thread's cache could not serve: refills, growth, and the out-of-memory procedure.
#include <algorithm>
#include <chrono>
#include <span>
#include <string>
#include <utility>

#include "memory/allocator.h"
#include "sync/thread.h"

namespace millrace {
namespace {

constexpr int kCallbackRounds = 64;

}  // namespace

Allocator::Obtained Allocator::obtain(ThreadCache& cache, Arena& arena, const BlockRequest& request) {
  if (arena.pending_bytes() != 0) cache.publish_peak();  // before some of it is active no more
  for (;;) {
    if (protect_) {
      if (Block* block = arena.take_checked(request)) return {.block = block};
    }
    if (!request.large && request.alignment == geometry_.small_unit && !arena.is_direct()) {
      // A5: in protect mode nothing is cached, neither here nor by a free, so that each allocation is the
      // arena's to choose.
      const auto fits = protect_ ? 1 : static_cast<int>(geometry_.refill_bytes / request.size);
      ArenaCache& own = cache.of(arena);  // may throw: before there are blocks to lose
      BlockList blocks;
      arena.refill(request, std::clamp(fits, 1, geometry_.refill_blocks), blocks);
      if (Block* block = blocks.pop()) {
        cache.fill(own, blocks);
        return {.block = block};
      }
    } else if (Block* block = arena.take(request, false)) {
      return {.block = block};
    }
    // Blocks of a capture that another stream of it uses wait for nothing that is ever reached. Who takes
    // from a pool may be capturing, and can't be made to wait for what is no part of that.
    if (!arena.is_direct() && reuse_pending(arena, request)) continue;
    if (!arena.is_captured() && arena.collect_pending()) continue;
    // What this thread caches in other classes may be merged into what is asked for.
    if (!request.large && !arena.is_direct() && cache.flush_before_growth(arena)) continue;
    // Another thread on the same stream may take what we grew by: then we grow again.
    Growth growth = arena.grow(request);
    if (growth.ok()) continue;
    if (growth.status.error().code() != ErrorCode::OutOfMemory)
      core_.throw_if_failed(growth.status, allocate_call(), arena.slot());
    return {.refusal = std::move(growth)};
  }
}

bool Allocator::reuse_pending(Arena& arena, const BlockRequest& request) {
  // Memory is hidden between uses, or the host's next (A4): that takes the uses' end.
  if (protect_ || kind_ == MemoryKind::pinned) return false;
  Block* block = arena.claim_pending(request);
  if (block == nullptr) return false;
  bool waits = true;
  try {
    for (const BlockUse& use : block->uses)
      waits = waits && streams_.try_insert_wait(arena.slot(), use.point);
  } catch (...) {
    arena.put_back_pending(*block);
    throw;
  }
  if (!waits) {
    arena.put_back_pending(*block);
    return false;
  }
  block->uses.clear();
  on_unused(block->large ? Amount() : block->amount(), block->large ? block->amount() : Amount());
  // A1: from here the arena's stream orders it, the inserted waits included.
  block->free_value = arena.timeline().covering();
  arena.give(*block);
  return true;
}

void* Allocator::hand_out(ThreadCache& cache, Block& block, std::size_t requested) noexcept {
  void* const memory = give_out(block, requested);
  cache.hand_out(block);
  return memory;
}

bool Allocator::obtain_holding(Context& context, Arena& arena, const BlockRequest& request, bool flush_first,
                               Reclaimed& result) {
  const Context::Hold hold = context.hold();
  if (!hold) core_.throw_closed(allocate_call());
  ThreadCache& cache = cache_of(context);
  if (flush_first) cache.flush();
  Obtained obtained = obtain(cache, arena, request);
  result.refusal = std::move(obtained.refusal);
  if (obtained.block == nullptr) return false;
  result.memory = hand_out(cache, *obtained.block, request.requested);
  return true;
}

void* Allocator::allocate_slow(Context& context, const Target& target, const BlockRequest& request) {
  const char* const call = target.pool != nullptr ? "MemoryPool::allocate" : allocate_call();
  const TellAtEnd tell(*this);
  {
    // The hold keeps the arenas and their blocks there, as it does on the fast path: the device's gate is one
    // word, and all threads would write it.
    const Context::Hold hold = context.hold();
    if (!hold) core_.throw_closed(call);
    ThreadCache& cache = cache_of(context);
    if (Block* block = obtain(cache, arena_of(target), request).block)
      return hand_out(cache, *block, request.requested);
  }
  retries_.fetch_add(1, std::memory_order_relaxed);  // a statistic
  // From here on no context is held most of the time (O1): a pass keeps the arenas and their blocks there
  // (D1). It is not held while anything is waited for, nor over the user's callback.
  const auto& callback = core_.options().on_out_of_memory;
  const bool may_wait = !core_.on_device_thread();
  const sync::Deadline deadline = sync::deadline_after(core_.options().out_of_memory_wait);
  for (int callbacks = 0, waits = 0;;) {
    Reclaimed reclaimed;
    {
      const sync::Gate::Pass pass = core_.enter(call);
      reclaimed = reclaim(context, arena_of(target), request);
      if (reclaimed.memory != nullptr) return reclaimed.memory;
    }
    if (reclaimed.skipped_a_cache && waits++ < geometry_.cache_waits) {
      sync::sleep_for(Context::kOperation);
      continue;
    }
    if (reclaimed.next && may_wait && streams_.wait_until_completed(*reclaimed.next, deadline)) continue;
    if (callback && callbacks++ < kCallbackRounds && callback(request.requested)) continue;
    std::optional<OutOfMemoryError> error;
    {
      // NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): held while the report is made
      const sync::Gate::Pass pass = core_.enter(call);
      error.emplace(out_of_memory_error(request.requested, target.slot, reclaimed.refusal, call));
    }
    source_.log.tell(error->report());
    throw OutOfMemoryError(*error);
  }
}

Allocator::Reclaimed Allocator::reclaim(Context& context, Arena& arena, const BlockRequest& request) {
  // Whoever waits here holds no context (O1), so the one inside can flush theirs.
  sync::LockGuard lock(reclaiming_);
  Reclaimed result;
  const auto try_again = [&](bool flush_first) {
    return obtain_holding(context, arena, request, flush_first, result);
  };
  if (try_again(true)) return result;
  settle_streams();
  result.next = release_graphs();
  if (const Released released = release_pools(nullptr); !result.next) result.next = released.next;
  result.skipped_a_cache = !flush_caches(&context);
  const auto look_ahead = [&] {
    const auto look = [&](Arena& each) {
      if (!result.next) result.next = each.next_to_finish();
    };
    if (arena.is_pooled()) look(arena);
    for_each_arena(look);
    if (!arena.is_direct()) for_each_lending_arena(look);
  };
  // Before the tries too: what is reached between them and a look after them would be seen by neither.
  look_ahead();
  for_each_arena([](Arena& each) { each.collect_pending(); });
  if (try_again(false)) return result;
  if (request.large && (result.memory = borrow(context, arena, request)) != nullptr) return result;
  release_empty();
  if (try_again(false)) return result;
  if (!request.large && (result.memory = borrow(context, arena, request)) != nullptr) return result;
  look_ahead();
  return result;
}

bool Allocator::flush_caches(const Context* except) noexcept {
  return core_.with_idle_contexts([except](const Context& context) { return &context != except; },
                                  [this](Context& context) { cache_of(context).flush(); });
}

void* Allocator::borrow(Context& context, Arena& borrower, const BlockRequest& request) {
  if (borrower.is_direct())
    return nullptr;  // upholds A3 and N1: the lender would get it back before the graph is done
  const Context::Hold hold = context.hold();
  if (!hold) core_.throw_closed(allocate_call());
  Block* block = nullptr;
  for_each_arena([&](Arena& lender) {
    if (block != nullptr || &lender == &borrower) return;
    block = lender.take(request, true);
  });
  for_each_lending_arena([&](Arena& lender) {
    if (block == nullptr) block = lender.take(request, lender.slot() != borrower.slot());
  });
  if (block == nullptr) return nullptr;
  Arena& lender = *block->arena;
  try {
    block->uses.reserve(1);  // so that nothing throws once the block is the caller's
  } catch (const std::bad_alloc&) {
    lender.give(*block);
    throw;
  }
  if (lender.slot() != borrower.slot()) reached({lender.slot(), block->free_value});
  void* const memory = hand_out(cache_of(context), *block, request.requested);
  if (lender.slot() == borrower.slot()) return memory;  // a pool's, which the stream orders
  // The lender's stream does not order what the borrower does with it: its free waits for that. Pools that
  // lend are not restored.
  lender.add_use(*block, BlockWord::generation(block->word.load(std::memory_order_relaxed)),
                 {.point = {borrower.slot(), 0}, .until_free = true});
  return memory;
}

std::size_t Allocator::release_empty() noexcept {
  std::size_t released = 0;
  for_each_arena([&](Arena& arena) { released += arena.release_empty(); });
  return released;
}

void Allocator::settle_streams() {
  // Waits that came with reused memory and that nobody may ever commit would keep it from being given back.
  streams_.flush_insertions();
  streams_.cover_wrapped();
}

std::size_t Allocator::trim() {
  const TellAtEnd tell(*this);
  publish_own_peak();
  settle_streams();
  static_cast<void>(release_graphs());
  static_cast<void>(flush_caches(nullptr));  // those in use keep what they have
  return release_pools(nullptr).bytes + release_empty();
}

void Allocator::set_limit(std::size_t bytes) {
  if (limit_.try_set(bytes)) return;
  trim();
  if (limit_.try_set(bytes)) return;
  throw OutOfMemoryError(report(bytes, {.status = {}, .at_limit = true}),
                         core_.error_context("Device::set_memory_limit"));
}

}  // namespace millrace
