#include "memory/arena.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "support/expect_error.h"
#include "unit/memory/arena_fixture.h"

namespace millrace {
namespace {

class ArenaTest : public ArenaFixture {};

TEST_F(ArenaTest, RefillsWithoutGrowing) {
  const BlockRequest four_kib = request(4 * kKiB);
  BlockList blocks;
  arena_.refill(four_kib, 4, blocks);
  EXPECT_TRUE(blocks.empty());
  EXPECT_EQ(limit_.committed(), 0u);
  ASSERT_TRUE(arena_.grow(four_kib).ok());
  arena_.refill(four_kib, 4, blocks);
  EXPECT_EQ(blocks.count, 4);
  EXPECT_EQ(blocks.bytes, 16 * kKiB);
  for (const Block* block = blocks.first; block != nullptr; block = block->next) {
    EXPECT_EQ(block->state(), BlockState::cached);
    EXPECT_EQ(block->arena, &arena_);
  }
  arena_.give(blocks);
  EXPECT_EQ(bytes_in(arena_, BlockState::binned), 16 * kKiB);
  BlockList again;
  arena_.refill(four_kib, 4, again);
  EXPECT_EQ(again.count, 4);
  EXPECT_EQ(bytes_in(arena_, BlockState::binned), 0u);
  arena_.give(again);
}

TEST_F(ArenaTest, MergesItsBinsWhenALargerBlockNeedsThem) {
  std::vector<Block*> blocks;
  for (std::size_t bytes = 0; bytes < kGranule; bytes += 4 * kKiB) blocks.push_back(&live(arena_, 4 * kKiB));
  for (Block* block : blocks) {
    block->set_state(BlockState::moving);
    arena_.give(*block);
  }
  const Block* large_small = arena_.take(request(64 * kKiB), false);
  EXPECT_NE(large_small, nullptr);
  EXPECT_EQ(limit_.committed(), kGranule);
}

TEST_F(ArenaTest, KeepsNoMoreUnmergedThanTheGeometrySays) {
  std::vector<Block*> blocks;
  for (std::size_t bytes = 0; bytes < 4 * kGranule; bytes += 64 * kKiB)
    blocks.push_back(&live(arena_, 64 * kKiB));
  for (Block* block : blocks) {
    block->set_state(BlockState::moving);
    arena_.give(*block);
  }
  EXPECT_LE(bytes_in(arena_, BlockState::binned), geometry_.bins_bytes);
}

TEST_F(ArenaTest, TakesInBlocksFreedElsewhereBeforeItGrows) {
  constexpr int kThreads = 4, kEach = 16;
  std::vector<Block*> blocks;
  for (int i = 0; i < kThreads * kEach; ++i) blocks.push_back(&live(arena_, 4 * kKiB));
  const std::size_t committed = limit_.committed();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        BlockList one;
        one.push(blocks[static_cast<std::size_t>(t * kEach + i)]);
        arena_.give_remote(one);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bytes_in(arena_, BlockState::remote), kThreads * kEach * 4 * kKiB);
  for (int i = 0; i < kThreads * kEach; ++i) {
    Block* block = arena_.take(request(4 * kKiB), false);
    ASSERT_NE(block, nullptr) << i;
    block->set_state(BlockState::live);
  }
  EXPECT_EQ(limit_.committed(), committed);
}

TEST_F(ArenaTest, ABlockWithUsesIsPendingUntilTheyAreReached) {
  Block& block = live(arena_, 100 * kKiB);
  const std::uint64_t g = generation(block);
  EXPECT_TRUE(arena_.add_use(block, g, {.point = {1, 5}}));
  EXPECT_TRUE(arena_.add_use(block, g, {.point = {2, 3}}));
  EXPECT_TRUE(arena_.add_use(block, g, {.point = {1, 4}}));  // an older one changes nothing
  EXPECT_TRUE(arena_.free_used(block, g, Uncovered::refuse, OwnEnd::none));
  EXPECT_EQ(block.state(), BlockState::pending);
  EXPECT_EQ(arena_.pending_bytes(), block.size);
  EXPECT_FALSE(arena_.free_used(block, g, Uncovered::refuse, OwnEnd::none));  // a second free

  streams_.done = {{1, 4}, {2, 3}};
  EXPECT_FALSE(arena_.collect_pending());
  EXPECT_FALSE(arena_.next_to_finish());  // nothing was submitted, so there is nothing to wait for
  streams_.done[1] = 5;
  EXPECT_TRUE(arena_.collect_pending());
  EXPECT_EQ(arena_.pending_bytes(), 0u);
  EXPECT_EQ(streams_.hidden, 1);
  EXPECT_NE(arena_.take(request(100 * kKiB), false), nullptr);
}

TEST_F(ArenaTest, UsesThatAreOverDoNotDelayTheFree) {
  Block& block = live(arena_, 4 * kKiB);
  EXPECT_TRUE(arena_.add_use(block, generation(block), {.point = {1, 5}}));
  streams_.done[1] = 5;
  EXPECT_TRUE(arena_.free_used(block, generation(block), Uncovered::refuse, OwnEnd::none));
  EXPECT_EQ(arena_.pending_bytes(), 0u);
  EXPECT_EQ(block.state(), BlockState::binned);
}

TEST_F(ArenaTest, AUseOfAnEarlierLifeIsRefused) {
  Block& block = live(arena_, 4 * kKiB);
  const std::uint64_t old = generation(block);
  EXPECT_TRUE(arena_.free_used(block, old, Uncovered::refuse, OwnEnd::none));
  EXPECT_FALSE(arena_.add_use(block, old, {.point = {1, 1}}));
  BlockList refilled;
  arena_.refill(request(4 * kKiB), 1, refilled);
  Block& again = *refilled.pop();
  again.set_state(BlockState::live);
  ASSERT_EQ(&again, &block);  // the last freed comes first
  EXPECT_NE(generation(again), old);
  EXPECT_FALSE(arena_.add_use(again, old, {.point = {1, 1}}));
  EXPECT_FALSE(arena_.free_used(again, old, Uncovered::refuse, OwnEnd::none));
  EXPECT_EQ(again.state(), BlockState::live);
}

TEST_F(ArenaTest, RecordedWorkThatNoRecordUseCoversRefusesTheFree) {
  Block& block = live(arena_, 4 * kKiB);
  const std::uint64_t g = generation(block);
  EXPECT_TRUE(arena_.add_use(block, g, {.point = {1, 5}, .declared = true}));
  test::expect_rule("freed-while-in-use",
                    [&] { static_cast<void>(arena_.free_used(block, g, Uncovered::refuse, OwnEnd::none)); });
  EXPECT_EQ(block.state(), BlockState::live);
  // record_use from before the newest work does not cover it; one that is as new does.
  EXPECT_TRUE(arena_.add_use(block, g, {.point = {1, 4}}));
  test::expect_rule("freed-while-in-use",
                    [&] { static_cast<void>(arena_.free_used(block, g, Uncovered::refuse, OwnEnd::none)); });
  EXPECT_TRUE(arena_.add_use(block, g, {.point = {1, 5}}));
  EXPECT_TRUE(arena_.free_used(block, g, Uncovered::refuse, OwnEnd::none));
  EXPECT_EQ(arena_.pending_bytes(), block.size);
  // A Buffer's destructor can't throw: its free is made safe instead.
  Block& forgiven = live(arena_, 4 * kKiB);
  EXPECT_TRUE(arena_.add_use(forgiven, generation(forgiven), {.point = {1, 6}, .declared = true}));
  EXPECT_TRUE(arena_.free_used(forgiven, generation(forgiven), Uncovered::keep, OwnEnd::none));
  EXPECT_EQ(forgiven.state(), BlockState::pending);
}

TEST_F(ArenaTest, ACheckedUseKeepsMemoryFromNobodyOnItsStreamAndIsNotTold) {
  for (const std::size_t bytes : {4 * kKiB, 3 * kGranule}) {
    Block& block = live(arena_, bytes);
    EXPECT_TRUE(arena_.add_use(block, generation(block), {.point = {1, 5}, .declared = true}));
    EXPECT_TRUE(arena_.free_used(block, generation(block), Uncovered::check, OwnEnd::recorded));
    EXPECT_EQ(block.state(), BlockState::pending);
    EXPECT_EQ(arena_.take_checked(request(2 * bytes)), nullptr);
    BlockRequest aligned = request(bytes);
    aligned.alignment = std::size_t{1} << 50;
    EXPECT_EQ(arena_.take_checked(aligned), nullptr);
    ASSERT_EQ(arena_.take_checked(request(bytes)), &block);
    EXPECT_EQ(arena_.take_checked(request(bytes)), nullptr);
    EXPECT_EQ(arena_.pending_bytes(), 0u);
    EXPECT_EQ(streams_.hidden, 0);
    // Its next life knows the use: nothing hides the memory before that has ended.
    block.set_state(BlockState::live);
    EXPECT_TRUE(arena_.in_use(block));
    EXPECT_TRUE(arena_.free_used(block, generation(block), Uncovered::keep, OwnEnd::none));
    EXPECT_FALSE(arena_.collect_pending());
    EXPECT_EQ(streams_.hidden, 0);
    streams_.done[1] = 5;
    EXPECT_TRUE(arena_.collect_pending());
    EXPECT_EQ(streams_.hidden, 1);
    EXPECT_EQ(streams_.told[1], 0u);
    EXPECT_EQ(arena_.pending_bytes(), 0u);
    streams_.done.clear();
    streams_.hidden = 0;
  }
}

TEST_F(ArenaTest, OneThatEndedBeforeTheFreeIsNotToldEither) {
  Block& block = live(arena_, 4 * kKiB);
  EXPECT_TRUE(arena_.add_use(block, generation(block), {.point = {1, 5}, .declared = true}));
  streams_.done[1] = 5;
  EXPECT_TRUE(arena_.free_used(block, generation(block), Uncovered::check, OwnEnd::none));
  EXPECT_EQ(streams_.hidden, 1);
  EXPECT_EQ(streams_.told[1], 0u);
}

TEST_F(ArenaTest, WhatARecordUseCoversIsWaitedForAndToldAlsoWhereOthersAreChecked) {
  Block& block = live(arena_, 4 * kKiB);
  EXPECT_TRUE(arena_.add_use(block, generation(block), {.point = {1, 5}, .declared = true}));
  EXPECT_TRUE(arena_.add_use(block, generation(block), {.point = {2, 3}}));
  EXPECT_TRUE(arena_.free_used(block, generation(block), Uncovered::check, OwnEnd::none));
  EXPECT_EQ(arena_.take_checked(request(4 * kKiB)), nullptr);
  streams_.done = {{1, 5}, {2, 3}};
  EXPECT_TRUE(arena_.collect_pending());
  EXPECT_EQ(streams_.told[1], 0u);
  EXPECT_EQ(streams_.told[2], 3u);
}

TEST_F(ArenaTest, AUseOfTheNextLifeOnTheSameStreamIsThatLifeS) {
  Block& block = live(arena_, 4 * kKiB);
  EXPECT_TRUE(arena_.add_use(block, generation(block), {.point = {1, 5}, .declared = true}));
  EXPECT_TRUE(arena_.free_used(block, generation(block), Uncovered::check, OwnEnd::none));
  ASSERT_EQ(arena_.take_checked(request(4 * kKiB)), &block);
  block.set_state(BlockState::live);
  EXPECT_TRUE(arena_.add_use(block, generation(block), {.point = {1, 7}}));  // record_use
  EXPECT_TRUE(arena_.free_used(block, generation(block), Uncovered::check, OwnEnd::none));
  EXPECT_EQ(arena_.take_checked(request(4 * kKiB)), nullptr);
  streams_.done[1] = 7;
  EXPECT_TRUE(arena_.collect_pending());
  EXPECT_EQ(streams_.told[1], 7u);
}

TEST_F(ArenaTest, WorkOfTheOwnStreamKeepsMemoryFromOtherStreamsAndFromTheDevice) {
  Block& block = live(arena_, 2 * kGranule);
  block.set_state(BlockState::moving);
  block.free_value = 3;  // its stream has not completed anything
  arena_.give(block);
  EXPECT_EQ(arena_.release_empty(), 0u);
  EXPECT_EQ(arena_.take(request(2 * kGranule), true), nullptr);  // for another stream
  Block* own = arena_.take(request(2 * kGranule), false);        // the own one is ordered
  ASSERT_NE(own, nullptr);
  own->free_value = 0;
  arena_.give(*own);
  EXPECT_EQ(arena_.release_empty(), 2 * kGranule);
}

TEST_F(ArenaTest, GivesAllBackWhenItEnds) {
  {
    Arena ending(2, ArenaUse::stream, geometry_, source_, map_, streams_);
    live(ending, 4 * kKiB);
    live(ending, 3 * kGranule);
    EXPECT_GT(limit_.committed(), 0u);
  }
  EXPECT_EQ(limit_.committed(), 0u);
  EXPECT_EQ(backend_.ledger.bytes(), 0u);
  EXPECT_EQ(backend_.ledger.heaps(), 0u);
}

}  // namespace
}  // namespace millrace
