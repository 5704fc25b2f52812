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
  Peaks peak(1000);
  PeakShare share;
  share.on_allocate(peak, 700);
  share.on_free(peak, 700);
  share.on_allocate(peak, 200);
  share.publish(peak);
  EXPECT_EQ(peak.value().live.bytes, 700);
  share.on_allocate(peak, 5000);  // past the quantum: published at once
  EXPECT_EQ(peak.value().live.bytes, 5200);
  share.on_free(peak, 5200);
  peak.reset();
  EXPECT_EQ(peak.value().live.bytes, 0);
}

TEST(Peak, IsLowByAtMostAQuantumForEachOtherThread) {
  Peaks peak(1000);
  PeakShare first, second;
  first.on_allocate(peak, 900);
  second.on_allocate(peak, 900);
  first.on_free(peak, 900);
  second.on_free(peak, 900);
  first.publish(peak);
  second.publish(peak);
  EXPECT_GE(peak.value().live.bytes + 1000, 1800);
  EXPECT_LE(peak.value().live.bytes, 1800);
}

TEST(Peak, AQuantumOfZeroIsExact) {
  Peaks peak(0);
  PeakShare first, second;
  first.on_allocate(peak, 900);
  second.on_allocate(peak, 900);
  first.on_free(peak, 900);
  EXPECT_EQ(peak.value().live.bytes, 1800);
}

// Small and large blocks peak at different times, and the two of them at another one.
TEST(Peak, OfEachSizeIsItsOwn) {
  Peaks peaks(1 << 20);
  PeakShare share;
  for (int i = 0; i < 3; ++i) share.on_allocate(peaks, 100);  // small: 3
  for (int i = 0; i < 2; ++i) share.on_free(peaks, 100);
  share.on_allocate_large(peaks, 5000);
  share.on_allocate_large(peaks, 5000);  // large: 2
  share.on_allocate(peaks, 100);         // all: 2 and 2
  share.on_free(peaks, 5000, true, false);
  share.on_allocate(peaks, 100);
  share.on_free(peaks, 100, false, false);
  share.publish(peaks);
  const BlockFigures most = peaks.value();
  EXPECT_EQ(most.live.blocks, 4);
  EXPECT_EQ(most.live.bytes, 10200);
  EXPECT_EQ(most.small_live.blocks, 3);
  EXPECT_EQ(most.small_live.bytes, 300);
  EXPECT_EQ(most.large_live.blocks, 2);
  EXPECT_EQ(most.large_live.bytes, 10000);
  EXPECT_EQ(most.active.bytes, most.live.bytes);
  peaks.reset();
  EXPECT_EQ(peaks.value().live.blocks, 3);
  EXPECT_EQ(peaks.value().large_live.bytes, 5000);
}

TEST(Peak, WhatIsFreedAndUsedStaysActive) {
  Peaks peaks(1 << 20);
  PeakShare share;
  share.on_allocate(peaks, 100);
  share.on_allocate_large(peaks, 5000);
  share.on_free(peaks, 5000, true, true);
  share.on_free(peaks, 100, false, true);
  share.on_allocate_large(peaks, 6000);
  share.publish(peaks);
  EXPECT_EQ(peaks.value().live.bytes, 6000);
  EXPECT_EQ(peaks.value().active.bytes, 11100);
  EXPECT_EQ(peaks.value().small_active.blocks, 1);
  EXPECT_EQ(peaks.value().large_active.blocks, 2);
  peaks.on_unused({100, 1}, {5000, 1});
  share.on_allocate(peaks, 300);
  share.publish(peaks);
  EXPECT_EQ(peaks.value().active.bytes, 11100);
  EXPECT_EQ(peaks.value().live.bytes, 6300);
  peaks.reset();
  EXPECT_EQ(peaks.value().active.bytes, 6300);
  EXPECT_EQ(peaks.value().active.blocks, 2);
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
