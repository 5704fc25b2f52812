// What the allocator can say about itself: figures, the out-of-memory report, the re-added equation.
#include <algorithm>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "device/status.h"
#include "device/thread_contexts.h"
#include "memory/allocator.h"

namespace millrace {
namespace {

/// M1: as what the bytes of a block in that state count.
MemoryState state_of(BlockState state) noexcept {
  switch (state) {
    case BlockState::live: return MemoryState::live;
    case BlockState::cached:
    case BlockState::unsent: return MemoryState::cached;
    case BlockState::pending: return MemoryState::pending;
    default: return MemoryState::free;
  }
}

}  // namespace

Totals Allocator::totals() {
  Totals sum;
  // With the list locked no context is folded, so each counts once (D2). All frees before any
  // allocation, so that the difference is never negative (M4); among the retired totals are frees of threads
  // that have no context.
  core_.with_contexts([&](std::span<Context* const> contexts) {
    for (Context* context : contexts) cache_of(*context).add_unasked_to(sum);
    for (Context* context : contexts) cache_of(*context).counters().add_freed_to(sum);
    {
      sync::LockGuard lock(totals_mutex_);
      sum += retired_totals_;
    }
    for (Context* context : contexts) cache_of(*context).counters().add_allocated_to(sum);
  });
  return sum;
}

std::size_t Allocator::cached_bytes() {
  std::size_t bytes = 0;
  core_.with_contexts([&](std::span<Context* const> contexts) {
    for (Context* context : contexts) bytes += cache_of(*context).cached_bytes();
  });
  return bytes;
}

void Allocator::publish_own_peak() noexcept {
  Context* const own = ThreadContexts::find(core_.id());
  if (own == nullptr) return;
  if (const Context::Hold hold = own->try_steal()) cache_of(*own).publish_peak();
}

MemoryStats Allocator::stats() {
  publish_own_peak();
  const Totals sum = totals();
  MemoryStats stats;
  stats.live = sum.allocated_bytes - sum.freed_bytes;
  stats.cached = cached_bytes();
  const auto add_pending = [&](const Arena& arena) { stats.pending += arena.pending_bytes(); };
  for_each_arena(add_pending);
  for_each_graph_arena(add_pending);
  for_each_pool_arena(add_pending);
  stats.committed = limit_.committed();
  stats.limit = limit_.limit();
  stats.peak_live = std::max(peaks_.live_bytes(), stats.live);
  const std::size_t threads = most_threads_.load(std::memory_order_relaxed);  // relaxed: a statistic
  stats.peak_error = threads <= 1 ? 0 : threads * static_cast<std::size_t>(peaks_.quantum());
  stats.peak_committed = limit_.peak();
  stats.allocations = sum.allocations;
  stats.frees = sum.frees;
  stats.allocated_bytes = sum.allocated_bytes;
  stats.freed_bytes = sum.freed_bytes;
  // relaxed: statistics.
  stats.heaps_created = source_.created.load(std::memory_order_relaxed);
  stats.heaps_released = source_.released.load(std::memory_order_relaxed);
  stats.out_of_memory = out_of_memory_.load(std::memory_order_relaxed);
  return stats;
}

std::vector<MemorySegment> Allocator::segments() {
  std::vector<MemorySegment> all;
  const auto add = [&](Arena& arena) { list(arena, all); };
  for_each_arena(add);
  for_each_graph_arena(add);
  for_each_pool_arena(add);
  std::ranges::sort(all, std::less<>(), &MemorySegment::address);
  return all;
}

void Allocator::list(Arena& arena, std::vector<MemorySegment>& all) {
  bool begun = false;  // the block lies behind what the last segment has
  arena.for_each_block([&](const Block& block) {
    // upholds M8: the range is the mutex's, and becomes or stops being a hole under it. Between the other
    // states a block changes beside this: the one that is read is the newest of those that the caller is
    // ordered after, or a later one, for which a relaxed load of one word is enough.
    const BlockState state = block.state();
    begun = begun && block.left != nullptr;
    if (state == BlockState::hole) {
      begun = false;
      return;
    }
    if (!begun) {
      all.push_back({.address = block.data(),
                     .bytes = 0,
                     .kind = kind_,
                     .stream = arena.slot(),
                     .graph = arena.is_captured(),
                     .large = block.large,
                     .pool = arena.pool(),
                     .blocks = {}});
    }
    begun = true;
    MemorySegment& segment = all.back();
    segment.bytes += block.size;
    const MemoryState shown = state_of(state);
    // relaxed: for reports; of a block that changes hands beside this it may be the other owner's.
    const std::uint64_t thread =
        shown == MemoryState::live ? block.thread.load(std::memory_order_relaxed) : 0;
    const std::size_t unasked = shown == MemoryState::live ? block.unasked() : block.size;
    segment.blocks.push_back(
        {block.data(), block.size, shown, thread, block.size - std::min(unasked, block.size)});
  });
}

void Allocator::reset_peaks() {
  core_.with_contexts([this](std::span<Context* const> contexts) {
    for (Context* context : contexts) {
      if (const Context::Hold stolen = context->try_steal()) cache_of(*context).publish_peak();
    }
    most_threads_.store(contexts.size(), std::memory_order_relaxed);  // a statistic
  });
  limit_.reset_peak();
  peaks_.reset();
  source_.figures.reset_peaks();
}

OutOfMemoryReport Allocator::report(std::size_t bytes, const Growth& refusal) {
  const MemoryStats now = stats();
  OutOfMemoryReport report;
  report.kind = kind_;
  report.requested = bytes;
  report.live = now.live;
  report.cached = now.cached;
  report.pending = now.pending;
  report.committed = now.committed;
  report.limit = now.limit;
  if (!refusal.at_limit && !refusal.ok()) {
    report.refusal = refusal.status.error().message();
    if (const std::optional<MemoryRoom> room = source_.memory.room()) {
      report.device_free = room->free;
      report.device_total = room->total;
    }
  }
  std::map<std::pair<int, std::uint64_t>, std::size_t> held;
  const auto add_held = [&](Arena& arena) {
    arena.for_each_block([&](const Block& block) {
      if (block.state() != BlockState::live) return;
      held[{arena.slot(), block.thread.load(std::memory_order_relaxed)}] += block.size;
    });
  };
  for_each_arena([&](Arena& arena) {
    report.largest_free = std::max(report.largest_free, arena.largest_free());
    add_held(arena);
  });
  for_each_graph_arena(add_held);
  for_each_pool_arena(add_held);
  for (const auto& [who, live] : held) report.holders.push_back({who.first, who.second, live});
  std::sort(report.holders.begin(), report.holders.end(),
            [](const auto& a, const auto& b) { return a.live_bytes > b.live_bytes; });
  if (report.holders.size() > 8) report.holders.resize(8);
  return report;
}

OutOfMemoryError Allocator::out_of_memory_error(std::size_t bytes, int slot, const Growth& refusal,
                                                const char* call) {
  out_of_memory_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  return {report(bytes, refusal), core_.error_context(call, slot)};
}

void Allocator::check_accounting() {
  std::size_t live = 0, other = 0, cached = 0, pending = 0;
  const auto add_all = [&](Arena& arena) {
    arena.for_each_block([&](const Block& block) {
      if (block.state() == BlockState::hole) return;
      switch (state_of(block.state())) {
        case MemoryState::live: live += block.size; break;
        case MemoryState::cached: cached += block.size; break;
        case MemoryState::pending: pending += block.size; break;
        case MemoryState::free: other += block.size;
      }
    });
  };
  for_each_arena(add_all);
  for_each_graph_arena(add_all);
  for_each_pool_arena(add_all);
  const MemoryStats now = stats();
  const std::size_t sum = live + cached + pending + other;
  if (sum == now.committed && live == now.live && cached == now.cached && pending == now.pending) return;
  const auto figure = [](const char* name, std::size_t found, std::size_t counted) {
    return std::string(name) + " " + std::to_string(found) + " in the heaps, " + std::to_string(counted) +
           " counted; ";
  };
  throw_rule("accounting",
             figure("committed", sum, now.committed) + figure("live", live, now.live) +
                 figure("cached", cached, now.cached) + figure("pending", pending, now.pending) +
                 "call it only while no other thread allocates or frees",
             core_.error_context("Device::check_accounting"));
}

}  // namespace millrace
