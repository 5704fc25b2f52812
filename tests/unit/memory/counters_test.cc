#include "memory/counters.h"

#include <gtest/gtest.h>

#include <atomic>

#include "memory/peak.h"
#include "memory/thread_cache.h"
#include "support/threads.h"

namespace millrace {
namespace {

// Two threads' figures never share a cache line.
static_assert(alignof(Counters) >= sync::kCacheLine && sizeof(Counters) % sync::kCacheLine == 0);
static_assert(alignof(ThreadCache) >= sync::kCacheLine && sizeof(ThreadCache) % sync::kCacheLine == 0);
static_assert(alignof(Context) >= sync::kCacheLine && sizeof(Context) % sync::kCacheLine == 0);
static_assert(alignof(Block) >= sync::kCacheLine && sizeof(Block) % sync::kCacheLine == 0);

TEST(ByteGauge, GoesUpAndDown) {
  ByteGauge gauge;
  gauge.add(100);
  gauge.add(50);
  gauge.subtract(30);
  EXPECT_EQ(gauge.value(), 120u);
  gauge.subtract(120);
  EXPECT_EQ(gauge.value(), 0u);
}

TEST(ByteGaugeDeathTest, ASecondSubtractionDiesInAssertionBuilds) {
#ifdef NDEBUG
  GTEST_SKIP() << "this build has no assertions";
#else
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ByteGauge gauge;
        gauge.add(4096);
        gauge.subtract(4096);
        gauge.subtract(4096);  // planted
      },
      "accounting");
#endif
}

TEST(Counters, ReadersNeverSeeMoreFreedThanAllocated) {
  constexpr int kWriters = 3;
  constexpr std::uint64_t kRounds = 20'000;
  Counters counters[kWriters];
  std::atomic<int> writing = kWriters;
  // Each frees what the one before it allocated, so frees and allocations of a block are in different
  // counters.
  std::atomic<std::uint64_t> allocated[kWriters] = {};
  test::on_threads(kWriters + 1, [&](int number) {
    if (number == kWriters) {
      while (writing != 0) {
        Totals totals;
        for (const Counters& each : counters) each.add_freed_to(totals);
        for (const Counters& each : counters) each.add_allocated_to(totals);
        ASSERT_LE(totals.freed_bytes, totals.allocated_bytes);
        ASSERT_LE(totals.frees, totals.allocations);
      }
      return;
    }
    const int before = (number + kWriters - 1) % kWriters;
    std::uint64_t freed = 0;
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      counters[number].on_allocate(64);
      ++allocated[number];
      while (freed < allocated[before]) {
        counters[number].on_free(64);
        ++freed;
      }
    }
    --writing;
  });
}

TEST(Peak, IsExactForOneThreadOncePublished) {
  Peak peak(1000);
  PeakShare share;
  share.change(peak, 700);
  share.change(peak, -700);
  share.change(peak, 200);
  share.publish(peak);
  EXPECT_EQ(peak.value(), 700u);
  share.change(peak, 5000);  // past the quantum: published at once
  EXPECT_EQ(peak.value(), 5200u);
  share.change(peak, -5200);
  peak.reset();
  EXPECT_EQ(peak.value(), 0u);
}

TEST(Peak, IsLowByAtMostAQuantumForEachOtherThread) {
  Peak peak(1000);
  PeakShare first, second;
  first.change(peak, 900);
  second.change(peak, 900);
  first.change(peak, -900);
  second.change(peak, -900);
  first.publish(peak);
  second.publish(peak);
  EXPECT_GE(peak.value() + 1000, 1800u);
  EXPECT_LE(peak.value(), 1800u);
}

TEST(Peak, AQuantumOfZeroIsExact) {
  Peak peak(0);
  PeakShare first, second;
  first.change(peak, 900);
  second.change(peak, 900);
  first.change(peak, -900);
  EXPECT_EQ(peak.value(), 1800u);
}

TEST(CacheBudget, GivesNoMoreThanItHas) {
  CacheBudget budget(100);
  EXPECT_TRUE(budget.try_take(60));
  EXPECT_FALSE(budget.try_take(41));
  EXPECT_TRUE(budget.try_take(40));
  EXPECT_FALSE(budget.try_take(1));
  budget.give_back(40);
  EXPECT_TRUE(budget.try_take(40));
}

}  // namespace
}  // namespace millrace
