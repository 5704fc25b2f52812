#include "memory/free_ranges.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "support/random.h"

namespace millrace {
namespace {

using test::Random;
using test::seed_of_run;

constexpr std::size_t kUnit = std::size_t{64} << 10;

/// What the two fits mean, the slow way.
const Block* expected(const std::vector<Block*>& free, FreeRanges::Fit fit, std::size_t size,
                      std::uint64_t done) {
  const Block* found = nullptr;
  for (const Block* block : free) {
    if (block->size < size || block->free_value > done) continue;
    if (found == nullptr) {
      found = block;
    } else if (fit == FreeRanges::Fit::best && block->size != found->size) {
      if (block->size < found->size) found = block;
    } else if (block->data() < found->data()) {
      found = block;
    }
  }
  return found;
}

TEST(FreeRanges, FindsWhatTheirFitSays) {
  const std::uint64_t seed = seed_of_run();
  for (const FreeRanges::Fit fit : {FreeRanges::Fit::best, FreeRanges::Fit::first}) {
    Random random(seed);
    FreeRanges ranges(fit);
    std::vector<std::unique_ptr<Block>> blocks;
    std::vector<Block*> out, in;
    for (std::uintptr_t i = 0; i < 300; ++i) {
      blocks.push_back(std::make_unique<Block>());
      blocks.back()->address.store((i + 1) << 40, std::memory_order_relaxed);
      out.push_back(blocks.back().get());
    }
    for (int step = 0; step < 20'000; ++step) {
      if (!out.empty() && (in.empty() || random.one_in(2))) {
        std::swap(out[random.below(out.size())], out.back());
        Block* const block = out.back();
        out.pop_back();
        block->size = random.log_uniform(1, 1 << 20) * kUnit;
        block->free_value = random.below(4);
        ranges.insert(*block);
        in.push_back(block);
      } else {
        std::swap(in[random.below(in.size())], in.back());
        ranges.erase(*in.back());
        out.push_back(in.back());
        in.pop_back();
      }
      const std::size_t size = random.log_uniform(1, 1 << 21) * kUnit;
      const std::uint64_t done = random.below(5);
      const Block* const found =
          ranges.find(size, [&](const Block& block) { return block.free_value <= done; });
      ASSERT_EQ(found, expected(in, fit, size, done)) << "step " << step;
      std::size_t largest = 0, seen = 0;
      for (const Block* block : in) largest = std::max(largest, block->size);
      ASSERT_EQ(ranges.largest(), largest);
      ranges.for_each([&](const Block&) { ++seen; });
      ASSERT_EQ(seen, in.size());
    }
    ranges.clear();
    EXPECT_EQ(ranges.largest(), 0u);
    EXPECT_EQ(ranges.find(kUnit, [](const Block&) { return true; }), nullptr);
  }
}

// Sizes below the first bin, at the ends of bins, and as large as addresses go.
TEST(FreeRanges, SizesOfAllKinds) {
  FreeRanges ranges(FreeRanges::Fit::first);
  std::vector<std::unique_ptr<Block>> blocks;
  for (int bit = 9; bit < 47; ++bit) {
    for (const int offset : {-1, 0, 1}) {
      blocks.push_back(std::make_unique<Block>());
      blocks.back()->size = (std::size_t{1} << bit) + static_cast<std::size_t>(offset);
      // The larger, the lower.
      blocks.back()->address.store((std::uintptr_t{1} << 46) - blocks.size(), std::memory_order_relaxed);
    }
  }
  const auto any = [](const Block&) { return true; };
  for (const auto& block : blocks) {
    EXPECT_EQ(ranges.find(block->size, any), nullptr);
    ranges.insert(*block);
    EXPECT_EQ(ranges.find(block->size, any), block.get());
    EXPECT_EQ(ranges.find(1, any), block.get());
  }
}

}  // namespace
}  // namespace millrace
