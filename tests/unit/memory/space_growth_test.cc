// In a space for large blocks free memory moves before it grows, where it would waste too much otherwise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "memory/space.h"
#include "support/counting_memory.h"
#include "support/random.h"
#include "support/scale.h"
#include "unit/memory/no_streams.h"

namespace millrace {
namespace {

constexpr std::size_t kGranule = 64 * kKiB;

class SpaceGrowthTest : public testing::Test {
 protected:
  explicit SpaceGrowthTest(std::size_t granule = kGranule, bool fixed = false)
      : granule_(granule), owner_{.slot = 0, .fixed = fixed} {}
  static Geometry geometry_of(std::size_t granule) {
    Geometry geometry;
    geometry.granule = granule;
    geometry.small_limit = 16 * kKiB;
    geometry.large_unit = granule;
    geometry.heap_bytes = 4096 * granule;
    geometry.spare_bytes = 4 * granule;
    return geometry;
  }

  /// M3, and that what is no hole is committed.
  void TearDown() override {
    std::size_t bytes = 0;
    const Block* last = nullptr;
    space_.for_each_block([&](const Block& block) {
      if (block.left != nullptr) {
        ASSERT_EQ(block.left, last);
        ASSERT_EQ(last->data() + last->size, block.data());
      }
      if (block.state() != BlockState::hole) bytes += block.size;
      last = &block;
    });
    EXPECT_EQ(bytes, limit_.committed());
  }

  Block* take(std::size_t granules, std::uint64_t done = Space::kAnyValue) {
    Block* block = space_.take(granules * granule_, granule_);
    if (block != nullptr) return block;
    EXPECT_TRUE(space_.grow(granules * granule_, granule_, done).ok());
    block = space_.take(granules * granule_, granule_);
    EXPECT_NE(block, nullptr) << "grow must make the next take succeed";
    return block;
  }
  void give(Block* block, std::uint64_t free_value = 0) {
    block->free_value = free_value;
    space_.give(*block);
  }
  /// So many granules, every other one free.
  std::vector<Block*> comb(std::size_t granules, std::uint64_t free_value = 0) {
    std::vector<Block*> blocks, kept;
    for (std::size_t i = 0; i < granules; ++i) blocks.push_back(take(1));
    for (std::size_t i = 0; i < granules; ++i) {
      if (i % 2 == 0) {
        kept.push_back(blocks[i]);
      } else {
        give(blocks[i], free_value);
      }
    }
    return kept;
  }
  std::size_t committed() const {
    EXPECT_EQ(limit_.committed(), backend_.ledger.bytes());
    return limit_.committed() / granule_;
  }
  std::size_t moved() const { return backend_.ledger.moved_bytes() / granule_; }

  const std::size_t granule_;
  const Geometry geometry_ = geometry_of(granule_);
  test::AddressesOnly backend_{granule_};
  Limit limit_{16384 * granule_};
  HeapSource source_{backend_, limit_};
  PageMap map_{geometry_};
  NoStreams host_;
  Arena arena_{0, ArenaUse::stream, geometry_, source_, map_, host_};  // for the descriptors only
  BlockPool pool_{arena_};
  const SegmentOwner owner_;
  Space space_{true, geometry_, source_, map_, pool_, owner_};
};

/// Of requests that are worth what moving costs.
class LargeRequests : public SpaceGrowthTest {
 protected:
  LargeRequests() : SpaceGrowthTest(128 * kMiB) {}
};

/// Of a pool, whose addresses may be known to graphs.
class FixedMemory : public SpaceGrowthTest {
 protected:
  FixedMemory() : SpaceGrowthTest(kGranule, true) {}
};

TEST_F(FixedMemory, MovesNothing) {
  comb(65);
  take(16);
  EXPECT_EQ(committed(), 81U);
  EXPECT_EQ(moved(), 0U);
}

TEST_F(SpaceGrowthTest, MovesAsMuchAsItGrowsBy) {
  comb(65);
  ASSERT_EQ(committed(), 65U);
  take(16);  // there are 32 free, no two of them together
  EXPECT_LE(committed(), 65U + 4U);
  EXPECT_EQ(moved(), 12U) << "the rest it may waste";
}

// Between the look for a free block and the growth another thread may have freed one.
TEST_F(SpaceGrowthTest, DoesNotGrowPastAFreeBlockThatFits) {
  Block* const large = take(8);
  take(1);
  give(large);
  ASSERT_TRUE(space_.grow(8 * granule_, granule_).ok());
  EXPECT_EQ(committed(), 9U);
}

TEST_F(SpaceGrowthTest, KeepsWhatItMayWaste) {
  comb(65);
  take(4);
  EXPECT_EQ(committed(), 69U);
  EXPECT_EQ(moved(), 0U);
}

TEST_F(SpaceGrowthTest, KeepsWhatWorkMayStillUse) {
  comb(65, 7);
  take(16, 6);
  EXPECT_EQ(committed(), 81U);
}

TEST_F(SpaceGrowthTest, KeepsTheFreeEndThatItGrowsFrom) {
  std::vector<Block*> blocks;
  for (int i = 0; i < 31; ++i) blocks.push_back(take(2));
  Block* const end = take(1);
  for (std::size_t i = 1; i < 16; i += 2) give(blocks[i]);  // 16 granules
  give(end);
  take(12);  // lacks 11, and may waste four
  EXPECT_EQ(moved(), 8U);
  EXPECT_EQ(committed(), 66U);
}

TEST_F(LargeRequests, WasteASixteenthAtMostInALongMixedLoad) {
  test::Random random(test::seed_of_run());
  std::vector<Block*> held;
  std::size_t live = 0, most = 0;
  const std::size_t steps = test::scaled(3'000, 4);
  for (std::size_t i = 0; i < steps; ++i) {
    const std::size_t granules = random.log_uniform(1, 32);
    while (live + granules > 1024) {
      std::swap(held[random.below(held.size())], held.back());
      live -= held.back()->size / granule_;
      give(held.back());
      held.pop_back();
    }
    held.push_back(take(granules));
    live += granules;
    most = std::max(most, live);
    ASSERT_LE(committed(), most + std::max<std::size_t>(most / 16, 4) + 32) << "after " << i;
  }
  for (Block* block : held) give(block);
}

// However often it would help: moving costs the driver's time.
TEST_F(SpaceGrowthTest, MovesFourTimesWhatWasTakenAndThenHardlyAnything) {
  std::size_t taken = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<Block*> blocks = comb(65);
    Block* const large = take(24);
    taken += 65 + 24;
    give(large);
    for (Block* block : blocks) give(block);
  }
  constexpr std::size_t kMost = 33 + 32;  // while the comb is made
  EXPECT_GE(moved(), 3 * kMost);
  EXPECT_LE(moved(), 4 * kMost + taken / 16384 + 24);
}

TEST_F(SpaceGrowthTest, FillsAHoleAndMovesNoMore) {
  Block* const middle = take(4);
  take(1);
  comb(65, 7);
  give(middle);
  ASSERT_EQ(space_.release_empty(6), 4 * granule_);  // a hole of four, while work may use what the comb left
  take(8, 6);
  ASSERT_EQ(committed(), 74U);
  EXPECT_EQ(take(4), middle);
  EXPECT_EQ(moved(), 4U);
  EXPECT_EQ(committed(), 74U);
}

TEST_F(SpaceGrowthTest, WhatIsLostOnTheWayIsNoLongerCommitted) {
  comb(65);
  backend_.refuse_commit = true;
  EXPECT_FALSE(space_.grow(16 * kGranule, kGranule, Space::kAnyValue).ok());
  EXPECT_LT(committed(), 65U);  // and the ledger says the same
  backend_.refuse_commit = false;
  EXPECT_NE(take(16), nullptr);
}

TEST_F(SpaceGrowthTest, ChunksThatFitNoHoleAreGivenBack) {
  comb(65);
  backend_.least_room = ~std::size_t{0};
  take(16);
  EXPECT_LE(committed(), 65U + 4U);
  EXPECT_EQ(moved(), 0U);
}

TEST_F(SpaceGrowthTest, ASpaceForSmallBlocksKeepsWhatItHas) {
  Space small(false, geometry_, source_, map_, pool_, owner_);
  std::vector<Block*> blocks;
  for (int i = 0; i < 65; ++i) {
    ASSERT_TRUE(small.grow(kGranule, 512, Space::kAnyValue).ok());
    blocks.push_back(small.take(kGranule, 512));
  }
  for (std::size_t i = 1; i < 64; i += 2) small.give(*blocks[i]);
  ASSERT_TRUE(small.grow(16 * kGranule, 512, Space::kAnyValue).ok());
  EXPECT_EQ(committed(), 81U);
}

}  // namespace
}  // namespace millrace
