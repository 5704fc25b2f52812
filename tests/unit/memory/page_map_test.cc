#include "memory/page_map.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <vector>

#include "support/threads.h"

namespace millrace {
namespace {

constexpr std::uintptr_t kBase = std::uintptr_t{3} << 40;

class PageMapTest : public testing::Test {
 protected:
  Block& place(std::uintptr_t address, std::size_t size, BlockState state = BlockState::live) {
    Block& block = blocks_.emplace_back();
    block.address.store(address, std::memory_order_relaxed);
    block.size = size;
    map_.set_block(block);
    block.set_state(state);
    return block;
  }

  const Geometry geometry_{};
  PageMap map_{geometry_};
  std::deque<Block> blocks_;
};

TEST_F(PageMapTest, FindsBlocksWhereTheyStart) {
  map_.add_granules(kBase, 4 * kMiB, 512);
  Block& a = place(kBase, 512);
  Block& b = place(kBase + 512, 3 * kMiB);
  EXPECT_EQ(map_.find(kBase), &a);
  EXPECT_EQ(map_.find(kBase + 512), &b);
  EXPECT_EQ(map_.find(kBase + 1024), nullptr);
}

TEST_F(PageMapTest, KnowsWhatItCovers) {
  EXPECT_FALSE(map_.covers(kBase));
  map_.add_granules(kBase, 2 * kMiB, 512);
  EXPECT_TRUE(map_.covers(kBase));
  EXPECT_TRUE(map_.covers(kBase + 2 * kMiB - 1));
  EXPECT_FALSE(map_.covers(kBase + 2 * kMiB));
  EXPECT_FALSE(map_.covers(kBase - 1));
  for (const std::uintptr_t far : {std::uintptr_t{0}, std::uintptr_t{1} << 47, ~std::uintptr_t{0}}) {
    EXPECT_FALSE(map_.covers(far));
    EXPECT_EQ(map_.find(far), nullptr);
    EXPECT_EQ(map_.find_containing(far), nullptr);
  }
  map_.remove_granules(kBase, 2 * kMiB);
  EXPECT_FALSE(map_.covers(kBase));
  EXPECT_EQ(map_.find(kBase), nullptr);
}

TEST_F(PageMapTest, FindsTheLiveBlockAroundAnAddress) {
  map_.add_granules(kBase, 16 * kMiB, 64 * kKiB);
  Block& before = place(kBase, 64 * kKiB);
  Block& spanning = place(kBase + 64 * kKiB, 8 * kMiB);
  EXPECT_EQ(map_.find_containing(kBase + 100), &before);
  EXPECT_EQ(map_.find_containing(kBase + 64 * kKiB), &spanning);
  EXPECT_EQ(map_.find_containing(kBase + 5 * kMiB + 7), &spanning);
  EXPECT_EQ(map_.find_containing(kBase + 8 * kMiB + 64 * kKiB - 1), &spanning);
  EXPECT_EQ(map_.find_containing(kBase + 8 * kMiB + 64 * kKiB), nullptr);
  spanning.set_state(BlockState::free);
  EXPECT_EQ(map_.find_containing(kBase + 5 * kMiB), nullptr);
}

TEST_F(PageMapTest, StaleEntriesDoNotHideLiveBlocks) {
  map_.add_granules(kBase, 2 * kMiB, 512);
  Block& small = place(kBase + 4096, 512);
  small.set_state(BlockState::free);
  Block& large = place(kBase, 64 * kKiB);  // took the small one in
  EXPECT_EQ(map_.find_containing(kBase + 4096), &large);
  EXPECT_EQ(map_.find_containing(kBase + 5000), &large);
}

TEST_F(PageMapTest, GranulesServeAgain) {
  for (int round = 0; round < 100; ++round) {
    map_.add_granules(kBase, 4 * kMiB, round % 2 == 0 ? 512 : 64 * kKiB);
    Block& block = place(kBase + 64 * kKiB, 64 * kKiB);
    EXPECT_EQ(map_.find(kBase + 64 * kKiB), &block);
    block.set_state(BlockState::unused);
    map_.remove_granules(kBase, 4 * kMiB);
    EXPECT_EQ(map_.find_containing(kBase + 64 * kKiB), nullptr);
  }
}

TEST_F(PageMapTest, ReadersNeedNoLock) {
  constexpr int kGranules = 64;
  std::vector<Block> blocks(kGranules);
  std::atomic<int> published = 0;
  test::on_threads(4, [&](int number) {
    const auto address = [&](int i) { return kBase + static_cast<std::uintptr_t>(i) * geometry_.granule; };
    if (number == 0) {
      for (int i = 0; i < kGranules; ++i) {
        map_.add_granules(address(i), geometry_.granule, 512);
        Block& block = blocks[static_cast<std::size_t>(i)];
        block.address.store(address(i), std::memory_order_relaxed);
        block.size = 4096;
        map_.set_block(block);
        block.set_state(BlockState::live);
        published = i + 1;
      }
      return;
    }
    for (int seen = 0; seen < kGranules;) {
      seen = published;
      for (int i = 0; i < seen; ++i) {
        ASSERT_EQ(map_.find(address(i)), &blocks[static_cast<std::size_t>(i)]);
        ASSERT_EQ(map_.find_containing(address(i) + 4095), &blocks[static_cast<std::size_t>(i)]);
      }
      static_cast<void>(map_.find(address(seen)));  // being added right now
    }
  });
}

}  // namespace
}  // namespace millrace
