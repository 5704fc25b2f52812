#include "memory/space.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <vector>

#include "support/counting_memory.h"
#include "support/random.h"
#include "support/scale.h"
#include "unit/memory/no_streams.h"

namespace millrace {
namespace {

constexpr std::size_t kGranule = 64 * kKiB;

class SpaceTest : public testing::Test {
 protected:
  static Geometry small_geometry() {
    Geometry geometry;
    geometry.granule = kGranule;
    geometry.small_unit = 512;
    geometry.small_limit = 16 * kKiB;
    geometry.large_unit = 8 * kKiB;
    geometry.heap_bytes = 16 * kGranule;
    return geometry;
  }

  Block* take(std::size_t size, std::size_t alignment = 512) {
    Block* block = space_.take(size, alignment);
    if (block != nullptr) return block;
    if (!space_.grow(size, alignment).ok()) return nullptr;
    block = space_.take(size, alignment);
    EXPECT_NE(block, nullptr) << "grow must make the next take succeed";
    return block;
  }

  /// M3: the blocks tile the heaps; what is free or a hole is merged; what is no hole is committed.
  void check_tiling() {
    std::size_t committed = 0;
    const Block* last = nullptr;
    space_.for_each_block([&](const Block& block) {
      if (block.left == nullptr) {
        last = nullptr;
        EXPECT_EQ(block.data(), block.heap->base);
      } else {
        ASSERT_EQ(block.left, last);
        ASSERT_EQ(last->right, &block);
        ASSERT_EQ(last->data() + last->size, block.data());
        const bool mergeable = block.state() == BlockState::free || block.state() == BlockState::hole;
        EXPECT_FALSE(mergeable && last->state() == block.state());
      }
      EXPECT_GT(block.size, 0u);
      const std::byte* const end =
          block.right != nullptr ? block.right->data() : block.heap->base + block.heap->bytes;
      EXPECT_EQ(block.data() + block.size, end);
      if (block.state() != BlockState::hole) committed += block.size;
      last = &block;
    });
    EXPECT_EQ(committed, limit_.committed());
    EXPECT_EQ(committed, backend_.ledger.bytes());
  }

  const Geometry geometry_ = small_geometry();
  test::AddressesOnly backend_{kGranule};
  Limit limit_{64 * kGranule};
  HeapSource source_{backend_, limit_};
  PageMap map_{geometry_};
  NoStreams host_;
  Arena arena_{0, ArenaUse::stream, geometry_, source_, map_, host_};  // for the descriptors only
  BlockPool pool_{arena_};
  const SegmentOwner owner_{0};
  Space space_{false, geometry_, source_, map_, pool_, owner_};
};

TEST_F(SpaceTest, TakesSplitsAndMerges) {
  Block* a = take(4096);
  Block* b = take(4096);
  Block* c = take(4096);
  EXPECT_EQ(a->data() + 4096, b->data());
  EXPECT_EQ(b->data() + 4096, c->data());
  EXPECT_EQ(limit_.committed(), kGranule);
  space_.give(*a);
  space_.give(*c);
  check_tiling();
  EXPECT_EQ(space_.largest_free(), kGranule - 2 * 4096);
  space_.give(*b);
  check_tiling();
  EXPECT_EQ(space_.largest_free(), kGranule);
}

TEST_F(SpaceTest, PrefersTheSmallestRangeThatFits) {
  Block* small = take(2048);
  Block* wall = take(512);
  Block* large = take(8192);
  Block* end = take(512);
  std::byte* small_at = small->data();
  space_.give(*large);
  space_.give(*small);
  EXPECT_EQ(take(1024)->data(), small_at);
  static_cast<void>(wall);
  static_cast<void>(end);
}

TEST_F(SpaceTest, HonoursAlignment) {
  for (std::size_t alignment = 512; alignment <= 4 * kGranule; alignment *= 2) {
    Block* odd = take(512);
    Block* block = take(1536, alignment);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block->data()) % alignment, 0u);
    EXPECT_EQ(block->size, 1536u);
    static_cast<void>(odd);
    check_tiling();
  }
}

TEST_F(SpaceTest, GrowsInPlace) {
  Block* first = take(kGranule);
  space_.give(*first);
  Block* all = take(3 * kGranule);
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(limit_.committed(), 3 * kGranule);
  EXPECT_EQ(backend_.ledger.heaps(), 1u);
  check_tiling();
}

TEST_F(SpaceTest, LargerThanAHeapGetsOneOfItsOwn) {
  Block* block = take(40 * kGranule);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(block->heap->bytes, 40 * kGranule);
  space_.give(*block);
  EXPECT_EQ(space_.release_empty(0), 40 * kGranule);
  EXPECT_EQ(backend_.ledger.heaps(), 0u);
}

TEST_F(SpaceTest, StopsAtTheLimit) {
  Block* most = take(60 * kGranule);
  ASSERT_NE(most, nullptr);
  const Growth refused = space_.grow(5 * kGranule, 512);
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.at_limit);
  EXPECT_EQ(refused.status.error().code(), ErrorCode::OutOfMemory);
  EXPECT_TRUE(space_.grow(4 * kGranule, 512).ok());
  EXPECT_FALSE(space_.grow(std::size_t{1} << 45, 512).ok());
  check_tiling();
}

TEST_F(SpaceTest, FailuresOfTheDeviceChangeNothing) {
  backend_.refuse_reserve = true;
  EXPECT_FALSE(space_.grow(kGranule, 512).ok());
  backend_.refuse_reserve = false;
  backend_.refuse_commit = true;
  const Growth refused = space_.grow(kGranule, 512);
  EXPECT_FALSE(refused.ok());
  EXPECT_FALSE(refused.at_limit);
  EXPECT_EQ(limit_.committed(), 0u);
  backend_.refuse_commit = false;
  EXPECT_NE(take(kGranule), nullptr);
  check_tiling();
}

TEST_F(SpaceTest, ReleasesWholeGranulesBetweenLiveBlocks) {
  Block* a = take(1024);
  Block* middle = take(4 * kGranule);
  Block* z = take(1024);
  space_.give(*middle);
  const std::size_t before = limit_.committed();
  const std::size_t released = space_.release_empty(0);
  EXPECT_GE(released, 3 * kGranule);
  EXPECT_EQ(limit_.committed(), before - released);
  check_tiling();
  Block* again = take(4 * kGranule);  // the hole is filled again
  EXPECT_NE(again, nullptr);
  EXPECT_EQ(backend_.ledger.heaps(), 1u);
  check_tiling();
  for (Block* block : {a, again, z}) space_.give(*block);
  space_.release_empty(0);
  EXPECT_EQ(backend_.ledger.bytes(), 0u);
  EXPECT_EQ(backend_.ledger.heaps(), 0u);
}

TEST_F(SpaceTest, KeepsWhatWorkMayStillUse) {
  Block* block = take(2 * kGranule);
  block->free_value = 7;
  space_.give(*block);
  EXPECT_EQ(space_.release_empty(6), 0u);
  EXPECT_EQ(space_.next_free_value(6, 7), 7u);
  EXPECT_EQ(space_.next_free_value(6, 6), 0u);
  EXPECT_EQ(space_.take(512, 512, 6), nullptr);
  EXPECT_EQ(space_.next_free_value(7, 9), 0u);
  EXPECT_EQ(space_.release_empty(7), 2 * kGranule);
}

// Whoever only allocates gets a little more at once; who also frees, and what the limit ends, just what is
// needed.
TEST_F(SpaceTest, GrowsAheadOnlyWhereNothingComesBack) {
  Limit wide(std::size_t{1} << 40);
  HeapSource source{backend_, wide};
  Geometry geometry = small_geometry();
  geometry.heap_bytes = 4096 * kGranule;
  Space growing{false, geometry, source, map_, pool_, owner_},
      busy{false, geometry, source, map_, pool_, owner_};
  const auto commits_of = [&](Space& space, bool frees) {
    const std::size_t before = backend_.ledger.commits();
    const std::size_t had = wide.committed();
    for (std::size_t live = 0; live < 2048 * kGranule;) {
      EXPECT_TRUE(space.grow(kGranule, 512).ok());
      while (Block* block = space.take(kGranule, 512)) {
        live += kGranule;
        if (!frees) continue;
        space.give(*block);
        EXPECT_NE(space.take(kGranule, 512), nullptr);
      }
    }
    EXPECT_LE(wide.committed() - had, (2048 + 2048 / 128 + 2) * kGranule);
    return backend_.ledger.commits() - before;
  };
  EXPECT_LE(commits_of(growing, false), 600U);
  EXPECT_GE(commits_of(busy, true), 1000U);
}

/// A device that commits reservations as wholes.
class WholeHeapsTest : public SpaceTest {
 protected:
  WholeHeapsTest() { backend_.whole = true; }
};

TEST_F(WholeHeapsTest, AHeapIsWhatWasNeededAndAtLeastAPartOfWhatThereIs) {
  Block* first = take(512);
  EXPECT_EQ(limit_.committed(), 2 * kMiB);
  EXPECT_EQ(first->heap->bytes, 2 * kMiB);
  check_tiling();
  Block* second = take(2 * kMiB);  // does not fit beside it, and no heap grows
  EXPECT_NE(second->heap, first->heap);
  EXPECT_EQ(limit_.committed(), 4 * kMiB);
  check_tiling();
  EXPECT_TRUE(space_.grow(kMiB, 512).ok());  // what is free in the first serves it
  EXPECT_EQ(limit_.committed(), 4 * kMiB);
}

TEST_F(WholeHeapsTest, TakesOnlyWhatIsNeededWhereTheLimitLeavesNoMore) {
  Block* most = take(4 * kMiB - 3 * kGranule);
  Block* rest = take(3 * kGranule);
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(limit_.committed(), 4 * kMiB);
  EXPECT_EQ(take(512), nullptr);
  check_tiling();
  space_.give(*most);
  space_.give(*rest);
}

TEST_F(WholeHeapsTest, GivesBackWholeHeapsOnly) {
  Block* a = take(kMiB);
  Block* b = take(kMiB);
  Block* c = take(kGranule);
  ASSERT_EQ(a->heap, b->heap);
  ASSERT_NE(a->heap, c->heap);
  space_.give(*a);
  EXPECT_EQ(space_.release_empty(0), 0U);
  space_.give(*c);
  EXPECT_EQ(space_.release_empty(0), 2 * kMiB);
  space_.give(*b);
  EXPECT_EQ(space_.release_empty(0), 2 * kMiB);
  EXPECT_EQ(backend_.ledger.heaps(), 0U);
}

TEST_F(WholeHeapsTest, AlignsBeyondTheGranule) {
  Block* block = take(512, 8 * kGranule);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block->data()) % (8 * kGranule), 0U);
  check_tiling();
}

TEST_F(WholeHeapsTest, FailuresOfTheDeviceLeaveNoHeapBehind) {
  backend_.refuse_reserve = true;
  EXPECT_FALSE(space_.grow(kGranule, 512).ok());
  backend_.refuse_reserve = false;
  backend_.refuse_commit = true;
  EXPECT_FALSE(space_.grow(kGranule, 512).ok());
  EXPECT_EQ(limit_.committed(), 0U);
  EXPECT_EQ(backend_.ledger.heaps(), 0U);
  backend_.refuse_commit = false;
  EXPECT_NE(take(kGranule), nullptr);
  check_tiling();
}

class SpaceRandomTest : public SpaceTest, public testing::WithParamInterface<bool> {
 protected:
  SpaceRandomTest() { backend_.whole = GetParam(); }
};

TEST_P(SpaceRandomTest, OperationsKeepTheTiling) {
  test::Random random(test::seed_of_run());
  std::vector<Block*> held;
  const std::size_t operations = test::scaled(20'000, 10);
  for (std::size_t i = 0; i < operations; ++i) {
    if (random.one_in(500)) space_.release_empty(Space::kAnyValue);
    if (!held.empty() && (held.size() > 60 || random.one_in(2))) {
      const std::size_t which = random.below(held.size());
      space_.give(*held[which]);
      held[which] = held.back();
      held.pop_back();
    } else {
      const std::size_t size = 512 * random.log_uniform(1, random.one_in(20) ? 1024 : 64);
      const std::size_t alignment = random.one_in(10) ? std::size_t{512} << random.below(10) : 512;
      if (Block* block = take(size, alignment)) {
        EXPECT_EQ(map_.find(reinterpret_cast<std::uintptr_t>(block->data())), block);
        held.push_back(block);
      } else if (!held.empty()) {
        space_.give(*held.back());
        held.pop_back();
      }
    }
    if (i % 64 == 0) check_tiling();
  }
  for (Block* block : held) space_.give(*block);
  space_.release_empty(Space::kAnyValue);
  EXPECT_EQ(limit_.committed(), 0u);
  EXPECT_EQ(backend_.ledger.heaps(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Heaps, SpaceRandomTest, testing::Bool(),
                         [](const auto& given) { return given.param ? "Whole" : "InPlace"; });

}  // namespace
}  // namespace millrace
