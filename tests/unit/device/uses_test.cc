#include "device/uses.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <utility>

namespace millrace {
namespace {

char memory[16];

Uses first(std::size_t count) {
  Uses uses;
  for (std::size_t i = 0; i < count; ++i) uses.push_back(writes(memory + i, i));
  return uses;
}

void expect_first(const Uses& uses, std::size_t count) {
  ASSERT_EQ(uses.size(), count);
  EXPECT_EQ(uses.empty(), count == 0);
  std::size_t i = 0;
  for (const Use& use : uses) {
    EXPECT_EQ(use.address, memory + i);
    EXPECT_EQ(uses[i].bytes, i);
    EXPECT_EQ(use.mode, AccessMode::write);
    ++i;
  }
  EXPECT_EQ(i, count);
}

TEST(Uses, AnyNumberInTheirOrder) {
  for (std::size_t count = 0; count < 10; ++count) expect_first(first(count), count);
}

TEST(Uses, CopiesAndMoves) {
  for (std::size_t count = 0; count < 6; ++count) {
    Uses one = first(count);
    const Uses copy = one;
    expect_first(copy, count);
    expect_first(one, count);
    Uses other = std::move(one);
    expect_first(other, count);
    expect_first(one, 0);  // NOLINT(bugprone-use-after-move): a value, without uses
    one = first(5);
    one = std::move(other);
    expect_first(one, count);
  }
}

TEST(Uses, FromListsAndSpans) {
  const Uses listed{reads(memory, 1), writes(memory + 1, 2)};
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].mode, AccessMode::read);
  EXPECT_EQ(Uses(std::span(listed.begin(), listed.size())).size(), 2U);
}

}  // namespace
}  // namespace millrace
