// Turns: who is asked when, and what is left of a contestant that drops out.
#include "bench/rounds.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::tool {
namespace {

TEST(BenchRounds, AllTakeTurnsAfterOneRoundToWarmUp) {
  std::string order;
  const auto contestant = [&](char name) {
    return [&order, name]() -> std::optional<double> {
      order += name;
      return 1;
    };
  };
  median_of_rounds(2, {contestant('a'), contestant('b'), contestant('c')});
  EXPECT_EQ(order, "abcabcabc");
}

TEST(BenchRounds, TheWarmUpCountsForNothing) {
  double next = 1000;
  const auto medians = median_of_rounds(3, {[&]() -> std::optional<double> {
                                          const double now = next;
                                          next = next == 1000 ? 7 : next + 1;
                                          return now;
                                        }});
  ASSERT_EQ(medians.size(), 1U);
  EXPECT_EQ(medians[0], 8);  // of 7, 8 and 9
}

TEST(BenchRounds, OneThatDropsOutHasNoMedianAndIsNotAskedAgain) {
  int asked = 0;
  const auto medians = median_of_rounds(4, {[&]() -> std::optional<double> {
                                              if (++asked == 3) return std::nullopt;
                                              return 1;
                                            },
                                            [] { return std::optional<double>(2); }});
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(medians[0], std::nullopt);
  EXPECT_EQ(medians[1], 2);
}

}  // namespace
}  // namespace millrace::tool
