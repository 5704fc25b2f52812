#include "memory/limit.h"

#include <gtest/gtest.h>

#include <atomic>

#include "support/random.h"
#include "support/threads.h"

namespace millrace {
namespace {

TEST(Limit, RefusesWhatDoesNotFitAndNothingElse) {
  Limit limit(100);
  EXPECT_TRUE(limit.try_reserve(60));
  EXPECT_FALSE(limit.try_reserve(41));
  EXPECT_FALSE(limit.try_reserve(~std::size_t{0}));  // does not wrap around
  EXPECT_TRUE(limit.try_reserve(40));
  EXPECT_FALSE(limit.try_reserve(1));
  EXPECT_TRUE(limit.try_reserve(0));
  limit.give_back(100);
  EXPECT_EQ(limit.committed(), 0u);
  EXPECT_EQ(limit.peak(), 100u);
  limit.reset_peak();
  EXPECT_EQ(limit.peak(), 0u);
}

TEST(Limit, MovesNoLowerThanWhatIsCommitted) {
  Limit limit(100);
  ASSERT_TRUE(limit.try_reserve(50));
  EXPECT_FALSE(limit.try_set(49));
  EXPECT_EQ(limit.limit(), 100u);
  EXPECT_TRUE(limit.try_set(50));
  EXPECT_FALSE(limit.try_reserve(1));
  EXPECT_TRUE(limit.try_set(60));
  EXPECT_TRUE(limit.try_reserve(10));
}

TEST(LimitDeathTest, GivingBackTwiceDiesInAssertionBuilds) {
#ifdef NDEBUG
  GTEST_SKIP() << "this build has no assertions";
#else
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Limit limit(100);
        if (limit.try_reserve(10)) limit.give_back(10);
        limit.give_back(10);  // planted
      },
      "accounting");
#endif
}

TEST(Limit, HoldsAtEveryInstant) {
  constexpr std::size_t kLimit = 1000;
  Limit limit(kLimit);
  std::atomic<std::size_t> taken = 0;
  const std::uint64_t seed = test::seed_of_run();
  test::on_threads(4, [&](int number) {
    test::Random random(seed, static_cast<std::uint64_t>(number));
    for (int i = 0; i < 20'000; ++i) {
      const std::size_t bytes = 1 + random.below(400);
      if (!limit.try_reserve(bytes)) continue;
      ASSERT_LE(taken += bytes, kLimit);
      ASSERT_LE(limit.committed(), kLimit);
      taken -= bytes;
      limit.give_back(bytes);
    }
  });
  EXPECT_EQ(limit.committed(), 0u);
  EXPECT_LE(limit.peak(), kLimit);
}

}  // namespace
}  // namespace millrace
