#include "memory/thread_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "unit/memory/arena_fixture.h"

namespace millrace {
namespace {

class ThreadCacheTest : public ArenaFixture {
 protected:
  /// What Allocator::allocate and deallocate do for a small block of the cache's own arena.
  Block& allocate(Arena& arena, std::size_t bytes) {
    const BlockRequest wanted = request(bytes);
    if (Block* block = cache_.pop(cache_.of(arena), wanted.size_class)) return *block;
    BlockList blocks;
    arena.refill(wanted, geometry_.refill_blocks, blocks);
    if (blocks.empty()) {
      EXPECT_TRUE(arena.grow(wanted).ok());
      arena.refill(wanted, geometry_.refill_blocks, blocks);
    }
    Block* block = blocks.pop();
    cache_.fill(cache_.of(arena), blocks);
    cache_.hand_out(*block);
    return *block;
  }
  void free(Block& block) {
    cache_.count_free(block.size);
    if (ArenaCache* own = cache_.find(block.arena)) {
      block.set_state(BlockState::cached);
      cache_.push(*own, block);
    } else {
      cache_.send(block);
    }
  }

  CacheBudget budget_{4 * kMiB};
  Peaks peak_{kMiB};
  sync::Mutex totals_mutex_;
  Totals totals_;
  ThreadCache cache_{{geometry_, budget_, 2 * kMiB, peak_, totals_mutex_, totals_, true}, 1};
};

TEST_F(ThreadCacheTest, TheLastFreedComesFirst) {
  Block& a = allocate(arena_, 4 * kKiB);
  Block& b = allocate(arena_, 4 * kKiB);
  free(a);
  free(b);
  EXPECT_EQ(&allocate(arena_, 4 * kKiB), &b);
  EXPECT_EQ(&allocate(arena_, 4 * kKiB), &a);
  EXPECT_EQ(a.state(), BlockState::live);
}

TEST_F(ThreadCacheTest, WhatRecordedWorkNamesComesLater) {
  const auto record = [](Block& block) { block.own_use.store(1, std::memory_order_relaxed); };
  Block& a = allocate(arena_, 4 * kKiB);
  record(a);  // nothing was submitted
  free(a);
  Block& b = allocate(arena_, 4 * kKiB);
  EXPECT_NE(&a, &b);
  free(b);
  EXPECT_EQ(&allocate(arena_, 4 * kKiB), &b);  // nothing names it
  // Where there are many, they are handed out all the same.
  std::vector<Block*> different{&a};
  for (int i = 0; i < 63; ++i) {
    Block& block = allocate(arena_, 4 * kKiB);
    EXPECT_EQ(std::count(different.begin(), different.end(), &block), 0);
    record(block);
    free(block);
    different.push_back(&block);
  }
  EXPECT_EQ(cache_.cached_bytes(), bytes_in(arena_, BlockState::cached));
  cache_.flush();
  EXPECT_EQ(cache_.cached_bytes(), 0u);
  EXPECT_EQ(bytes_in(arena_, BlockState::cached), 0u);
}

TEST_F(ThreadCacheTest, CountsWhatItHolds) {
  std::vector<Block*> blocks;
  for (int i = 0; i < 100; ++i) blocks.push_back(&allocate(arena_, 512 * (1 + i % 20)));
  for (Block* block : blocks) free(*block);
  EXPECT_EQ(cache_.cached_bytes(), bytes_in(arena_, BlockState::cached));
  Totals totals;
  cache_.counters().add_freed_to(totals);
  cache_.counters().add_allocated_to(totals);
  EXPECT_EQ(totals.allocations, 100u);
  EXPECT_EQ(totals.frees, 100u);
  EXPECT_EQ(totals.allocated_bytes, totals.freed_bytes);
  cache_.flush();
  EXPECT_EQ(cache_.cached_bytes(), 0u);
  EXPECT_EQ(bytes_in(arena_, BlockState::cached), 0u);
}

TEST_F(ThreadCacheTest, AFullMagazineGivesHalfBack) {
  std::vector<Block*> blocks;
  for (int i = 0; i < 40; ++i) blocks.push_back(&allocate(arena_, 4 * kKiB));
  cache_.flush();
  for (int i = 0; i < geometry_.magazine_blocks; ++i) free(*blocks[static_cast<std::size_t>(i)]);
  EXPECT_EQ(cache_.cached_bytes(), static_cast<std::size_t>(geometry_.magazine_blocks) * 4 * kKiB);
  free(*blocks[static_cast<std::size_t>(geometry_.magazine_blocks)]);
  EXPECT_EQ(cache_.cached_bytes(), static_cast<std::size_t>(geometry_.magazine_blocks) / 2 * 4 * kKiB);
}

TEST_F(ThreadCacheTest, HoldsNoMoreThanItsPortion) {
  std::vector<Block*> blocks;
  for (int i = 0; i < 120; ++i)
    blocks.push_back(&allocate(arena_, 8 * kKiB * static_cast<std::size_t>(1 + i % 8)));
  for (Block* block : blocks) {
    free(*block);
    ASSERT_LE(cache_.cached_bytes(), 2 * kMiB);
  }
  cache_.flush();
  EXPECT_TRUE(budget_.try_take(4 * kMiB));  // all of it was given back
  // With no budget left nothing is kept, and everything still works.
  for (int i = 0; i < 20; ++i) free(allocate(arena_, 4 * kKiB));
  EXPECT_EQ(cache_.cached_bytes(), 0u);
}

TEST_F(ThreadCacheTest, SendsBlocksOfOtherArenasInBatches) {
  std::vector<Block*> blocks;
  for (int i = 0; i < geometry_.unsent_blocks; ++i) {
    blocks.push_back(&live(other_, 4 * kKiB));
  }
  for (int i = 0; i + 1 < geometry_.unsent_blocks; ++i) cache_.send(*blocks[static_cast<std::size_t>(i)]);
  EXPECT_EQ(bytes_in(other_, BlockState::unsent),
            static_cast<std::size_t>(geometry_.unsent_blocks - 1) * 4 * kKiB);
  EXPECT_EQ(cache_.cached_bytes(), bytes_in(other_, BlockState::unsent));
  cache_.send(*blocks.back());
  EXPECT_EQ(bytes_in(other_, BlockState::unsent), 0u);
  EXPECT_EQ(cache_.cached_bytes(), 0u);
  EXPECT_EQ(bytes_in(other_, BlockState::remote),
            static_cast<std::size_t>(geometry_.unsent_blocks) * 4 * kKiB);
  cache_.send(live(other_, 4 * kKiB));
  cache_.flush();
  EXPECT_EQ(bytes_in(other_, BlockState::unsent), 0u);
}

TEST_F(ThreadCacheTest, MoreArenasThanItHasRoomForTakeTurns) {
  std::vector<std::unique_ptr<Arena>> arenas;
  for (int i = 0; i < 8; ++i)
    arenas.push_back(std::make_unique<Arena>(i % 4, ArenaUse::stream, geometry_, source_, map_, streams_));
  std::size_t cached = 0;
  for (int round = 0; round < 3; ++round) {
    for (const auto& arena : arenas) free(allocate(*arena, 4 * kKiB));
  }
  for (const auto& arena : arenas) cached += bytes_in(*arena, BlockState::cached);
  EXPECT_EQ(cached, cache_.cached_bytes());
  cache_.flush();
  for (const auto& arena : arenas) EXPECT_EQ(bytes_in(*arena, BlockState::cached), 0u);
}

TEST_F(ThreadCacheTest, FlushesBeforeGrowthAFewTimesInARowAndEverMoreRarely) {
  const auto flushes_in_a_row = [&] {
    int flushes = 0;
    for (;; ++flushes) {
      free(allocate(arena_, 4 * kKiB));
      if (!cache_.flush_before_growth(arena_)) return flushes;
      EXPECT_EQ(cache_.cached_bytes(), 0u);
    }
  };
  EXPECT_EQ(flushes_in_a_row(), 1) << "a new cache";
  const auto allocate_more = [&](int count) {
    for (int i = 0; i < count; ++i) free(allocate(arena_, 4 * kKiB));
  };
  allocate_more(512);
  EXPECT_EQ(flushes_in_a_row(), 1);
  allocate_more(512 * 40);
  EXPECT_EQ(flushes_in_a_row(), 8) << "what was not used adds up, and not for ever";
  while (flushes_in_a_row() == 0) continue;
  const std::uint64_t last = cache_.counters().allocations();
  while (flushes_in_a_row() == 0) continue;
  EXPECT_GE(cache_.counters().allocations() - last, last / 9) << "about an eighth of all has to pass";
  EXPECT_LE(cache_.counters().allocations() - last, last / 7);
}

TEST_F(ThreadCacheTest, FlushesNothingBeforeGrowthWhereNothingIsCached) {
  EXPECT_FALSE(cache_.flush_before_growth(arena_)) << "of an arena that it never allocated from";
  free(allocate(arena_, 4 * kKiB));
  cache_.flush();
  EXPECT_FALSE(cache_.flush_before_growth(arena_));
  free(allocate(arena_, 4 * kKiB));
  EXPECT_TRUE(cache_.flush_before_growth(arena_)) << "what gave nothing was not counted";
}

TEST_F(ThreadCacheTest, FoldsItsTotals) {
  Block& block = allocate(arena_, 4 * kKiB);
  free(block);
  cache_.retire();
  cache_.fold();
  EXPECT_EQ(totals_.allocations, 1u);
  EXPECT_EQ(totals_.freed_bytes, 4 * kKiB);
}

}  // namespace
}  // namespace millrace
