// What a thread's cache could not serve: refills, growth, and the out-of-memory procedure.
#include <algorithm>
#include <span>
#include <string>

#include "device/handler_scope.h"
#include "memory/allocator.h"
#include "sync/thread.h"

namespace millrace {
namespace {

constexpr int kStealAttempts = 1000;  // each a yield: a context is held for microseconds
constexpr int kCallbackRounds = 64;

}  // namespace

Block* Allocator::obtain(ThreadCache& cache, Arena& arena, const BlockRequest& request) {
  for (;;) {
    if (!request.large && request.alignment == geometry_.small_unit) {
      const auto fits = static_cast<int>(geometry_.refill_bytes / request.size);
      BlockList blocks;
      arena.refill(request, std::clamp(fits, 1, geometry_.refill_blocks), blocks);
      if (Block* block = blocks.pop()) {
        cache.fill(cache.of(arena), blocks);
        return block;
      }
    } else if (Block* block = arena.take(request, false)) {
      return block;
    }
    if (reuse_pending(arena, request)) continue;
    // Another thread on the same stream may take what we grew by: then we grow again.
    if (!arena.grow(request).ok()) return nullptr;
  }
}

bool Allocator::reuse_pending(Arena& arena, const BlockRequest& request) {
  if (protect_) return false;  // memory is hidden between uses, which takes their end
  Block* block = arena.claim_pending(request);
  if (block == nullptr) return false;
  for (const BlockUse& use : block->uses) {
    if (!streams_.try_insert_wait(arena.slot(), use.point)) {
      arena.put_back_pending(*block);
      return false;
    }
  }
  block->uses.clear();
  // A1: from here the arena's stream orders it, the inserted waits included.
  block->free_value = arena.timeline().last_used();
  arena.give(*block);
  return true;
}

Block* Allocator::obtain_holding(Context& context, Arena& arena, const BlockRequest& request,
                                 bool flush_first) {
  const Context::Hold hold = context.hold();
  if (!hold) core_.throw_closed("Device::allocate");
  ThreadCache& cache = cache_of(context);
  if (flush_first) cache.flush();
  Block* block = obtain(cache, arena, request);
  if (block != nullptr) cache.hand_out(*block);
  return block;
}

void* Allocator::allocate_slow(Context& context, int slot, std::size_t bytes, const BlockRequest& request) {
  constexpr const char* kCall = "Device::allocate";
  const bool may_wait = !core_.on_device_thread();
  const auto& callback = core_.options().on_out_of_memory;
  sync::Deadline deadline;
  for (int callbacks = 0;; ++callbacks) {
    {
      // Most of the time no context is held (O1): the pass keeps the arenas and their blocks there (D1).
      const sync::Gate::Pass pass = core_.enter(kCall);
      Arena& arena = arena_of(slot);
      if (callbacks == 0) {
        if (Block* block = obtain_holding(context, arena, request, false)) return give_out(*block);
        deadline = sync::deadline_after(core_.options().out_of_memory_wait);
      }
      do {
        if (Block* block = obtain_after_reclaim(context, arena, request)) return give_out(*block);
      } while (may_wait && wait_for_pending(deadline));
      if (!callback || callbacks == kCallbackRounds) throw_out_of_memory(bytes, slot);
    }
    if (callback(bytes)) continue;  // with no lock, context or pass held
    const sync::Gate::Pass pass = core_.enter(kCall);
    throw_out_of_memory(bytes, slot);
  }
}

Block* Allocator::obtain_after_reclaim(Context& context, Arena& arena, const BlockRequest& request) {
  // Whoever waits here holds no context (O1), so the one inside can flush theirs.
  sync::LockGuard lock(reclaiming_);
  if (Block* block = obtain_holding(context, arena, request, true)) return block;
  for_each_arena([](Arena& each) { each.collect_pending(); });
  flush_other_caches(context);
  if (Block* block = obtain_holding(context, arena, request, false)) return block;
  if (request.large) {
    if (Block* block = borrow(context, arena, request)) return block;
  }
  release_empty();
  if (Block* block = obtain_holding(context, arena, request, false)) return block;
  return request.large ? nullptr : borrow(context, arena, request);
}

void Allocator::flush_other_caches(const Context& own) noexcept {
  core_.with_contexts([&](std::span<Context* const> contexts) {
    for (Context* context : contexts) {
      if (context == &own) continue;
      for (int attempt = 0; attempt < kStealAttempts && !context->retired(); ++attempt) {
        if (const Context::Hold stolen = context->try_steal()) {
          cache_of(*context).flush();
          break;
        }
        sync::yield();
      }
    }
  });
}

Block* Allocator::borrow(Context& context, Arena& borrower, const BlockRequest& request) {
  const Context::Hold hold = context.hold();
  if (!hold) core_.throw_closed("Device::allocate");
  Block* block = nullptr;
  for_each_arena([&](Arena& lender) {
    if (block != nullptr || &lender == &borrower) return;
    block = lender.take(request, true);
  });
  if (block == nullptr) return nullptr;
  Arena& lender = *block->arena;
  reached({lender.slot(), block->free_value});
  cache_of(context).hand_out(*block);
  // The lender's stream does not order what the borrower does with it: its free waits for that.
  lender.add_use(*block, BlockWord::generation(block->word.load(std::memory_order_relaxed)),
                 {.point = {borrower.slot(), 0}, .until_free = true});
  return block;
}

bool Allocator::wait_for_pending(sync::Deadline deadline) {
  if (deadline && sync::now() >= *deadline) return false;
  std::optional<TimelinePoint> point;
  for_each_arena([&](Arena& arena) {
    if (point) return;
    const auto next = arena.next_to_finish();
    // What nobody has committed yet will not end by waiting.
    if (next && next->value <= streams_.timeline(next->queue).submitted()) point = next;
  });
  return point && streams_.wait_until_completed(*point, deadline);
}

std::size_t Allocator::release_empty() noexcept {
  std::size_t released = 0;
  for_each_arena([&](Arena& arena) { released += arena.release_empty(); });
  return released;
}

std::size_t Allocator::trim() {
  for_each_arena([](Arena& arena) { arena.collect_pending(); });
  core_.with_contexts([](std::span<Context* const> contexts) {
    for (Context* context : contexts) {
      if (const Context::Hold stolen = context->try_steal()) cache_of(*context).flush();
    }
  });
  return release_empty();
}

void Allocator::set_limit(std::size_t bytes) {
  if (limit_.try_set(bytes)) return;
  trim();
  if (limit_.try_set(bytes)) return;
  throw Error(ErrorCode::OutOfMemory,
              "a limit of " + std::to_string(bytes) + " bytes was asked for, but " +
                  std::to_string(limit_.committed()) + " are committed and in use; free something first",
              core_.error_context("Device::set_memory_limit"));
}

}  // namespace millrace
