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

/// The best fit, the slow way.
const Block* expected(const std::vector<Block*>& free, std::size_t size, std::uint64_t done) {
  const Block* found = nullptr;
  for (const Block* block : free) {
    if (block->size < size || block->free_value > done) continue;
    if (found == nullptr || block->size < found->size ||
        (block->size == found->size && block->data() < found->data())) {
      found = block;
    }
  }
  return found;
}

TEST(FreeRanges, FindsTheSmallestThatFitsAndOfEqualOnesTheLowest) {
  Random random(seed_of_run());
  FreeRanges ranges;
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
    ASSERT_EQ(found, expected(in, size, done)) << "step " << step;
    const Block* const last =
        ranges.find_largest([&](const Block& block) { return block.free_value <= done; });
    std::size_t largest_done = 0;
    for (const Block* block : in) {
      if (block->free_value <= done) largest_done = std::max(largest_done, block->size);
    }
    ASSERT_EQ(last == nullptr ? 0 : last->size, largest_done);
    std::size_t largest = 0, bytes = 0, seen = 0;
    for (const Block* block : in) largest = std::max(largest, block->size), bytes += block->size;
    ASSERT_EQ(ranges.largest(), largest);
    ASSERT_EQ(ranges.bytes(), bytes);
    ranges.for_each([&](const Block&) { ++seen; });
    ASSERT_EQ(seen, in.size());
  }
  ranges.clear();
  EXPECT_EQ(ranges.largest(), 0u);
  EXPECT_EQ(ranges.bytes(), 0u);
  EXPECT_EQ(ranges.find(kUnit, [](const Block&) { return true; }), nullptr);
}

}  // namespace
}  // namespace millrace
