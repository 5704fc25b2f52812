// Long runs; where exploring ends before everything was seen, or a run before it is over, and that the
// verdict says so.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "interleave/interleave.h"
#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Limits, LimitOfExecutionsIsSaid) {
  Options options;
  options.max_executions = 100;
  const Result result = check(options, six_increments);
  EXPECT_TRUE(result.passed());
  EXPECT_FALSE(result.proved());
  EXPECT_EQ(result.coverage, Coverage::bounded);
  EXPECT_EQ(result.executions, 100U);
  EXPECT_NE(summary(result).find("bounded"), std::string::npos) << summary(result);
}

TEST(Limits, LimitOfExecutionsIsOneOfSamplesToo) {
  Options options;
  options.samples = 10;
  options.max_executions = 3;
  EXPECT_EQ(check(options, six_increments).executions, 3U);
}

TEST(Limits, LimitOfTimeIsSaid) {
  Options options;
  options.max_seconds = 0.05;
  const Result result = check(options, [] {
    atomic<int> x{0};
    const auto add = [&] { x.fetch_add(1, memory_order_relaxed); };
    parallel(add, add, add, add, add, add, add, add, add, add, add);
  });
  EXPECT_EQ(result.coverage, Coverage::bounded);
  EXPECT_LT(result.seconds, 5);
}

// The calls that a run can be lost in.
[[gnu::noinline]] void turn_for_ever() {
  for (volatile int i = 0;;) i = 1 - i;
}
void lock_twice() {
  std::mutex lock;
  lock.lock();
  lock.lock();
}

TEST(Limits, ARunThatDoesNotComeBackIsGivenUp) {
  for (void (*const lost)() : {&turn_for_ever, &lock_twice}) {
    for (const unsigned workers : {1U, 2U}) {
      Options options;
      options.max_run_seconds = 0.3;
      options.workers = workers;
      const Result result = check(options, [lost] {
        atomic<int> x{0};
        const auto add = [&] {
          if (x.fetch_add(1, memory_order_relaxed) == 1) lost();
        };
        parallel(add, add);
      });
      EXPECT_EQ(result.verdict, Verdict::limit) << summary(result);
      EXPECT_NE(result.message.find("did nothing that interleave knows of for 0.3 s"), std::string::npos)
          << result.message;
      EXPECT_LT(result.seconds, 60);
      EXPECT_FALSE(result.replay.empty()) << result.report;
#if !defined(__SANITIZE_ADDRESS__)
      EXPECT_NE(std::string(result.where.file).find("limits_test.cc"), std::string::npos) << result.report;
#endif
    }
  }
}

TEST(Limits, SamplesThatDoNotComeBackAreGivenUp) {
  Options options;
  options.max_run_seconds = 0.3;
  options.samples = 10;
  EXPECT_EQ(check(options, &turn_for_ever).verdict, Verdict::limit);
  options.samples = 0;
  options.max_preemptions = 1;
  EXPECT_EQ(check(options, &turn_for_ever).verdict, Verdict::limit);
}

// Slow, but not lost: each operation is a sign of life.
TEST(Limits, ASlowRunIsNotGivenUp) {
  Options options;
  options.max_run_seconds = 0.5;
  const Result result = check(options, [] {
    atomic<int> x{0};
    for (int i = 0; i < 8; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(100)) {
      }
      x.store(i);
    }
  });
  EXPECT_TRUE(result.proved()) << summary(result);
}

TEST(Limits, RunsThatAreTooLongAreCutOffAndSaid) {
  Options options;
  options.max_events = 20;
  const Result result = check(options, [] {
    atomic<int> x{0};
    parallel([&] {
      while (x.fetch_add(1, memory_order_relaxed) < 100) {
      }
    });
  });
  EXPECT_TRUE(result.passed()) << summary(result);
  EXPECT_FALSE(result.proved());
  EXPECT_EQ(result.coverage, Coverage::bounded);
  EXPECT_EQ(result.bounded, 1U);
  EXPECT_EQ(result.executions, 0U);
}

// What is longer than the largest engine has room for is cut off, and said to be: no run of it is complete.
TEST(Limits, ARunOfMoreEventsThanEverIsBounded) {
  const Result result = check([] {
    atomic<int> x{0};
    for (int i = 0; i < 2100; ++i) x.store(i, std::memory_order_relaxed);
  });
  EXPECT_EQ(result.coverage, Coverage::bounded);
  EXPECT_EQ(result.executions, 0U);
  EXPECT_EQ(result.bounded, 1U);
  EXPECT_FALSE(result.proved());
}

TEST(Limits, RunsOfUpTo1024EventsAreFine) {
  Options options;
  options.max_events = 1024;
  for (const int stores : {100, 200, 300, 600}) {
    const Result result = check(options, [stores] {
      atomic<int> x{0};
      parallel(
          [&] {
            for (int i = 1; i <= stores; ++i) x.store(i, memory_order_relaxed);
          },
          [&] { (void)x.load(memory_order_relaxed); });
    });
    EXPECT_TRUE(result.proved()) << summary(result);
    EXPECT_EQ(result.executions, static_cast<std::uint64_t>(stores) + 1);
  }
}

// What comes before is kept from one execution to the next, however long it is.
TEST(Limits, ALongPrefixChangesNothing) {
  Options options;
  options.max_events = 2048;
  for (const int before : {0, 50, 110, 230, 450, 900, 1800}) {
    const Result result = check(options, [before] {
      atomic<int> x{0};
      mutex lock;
      int count = 0;
      for (int i = 1; i <= before; ++i) x.store(i, memory_order_relaxed);
      const auto add_twice = [&] {
        for (int i = 0; i < 2; ++i) {
          const std::lock_guard<mutex> guard(lock);
          ++count;
        }
      };
      parallel(add_twice, add_twice);
      INTERLEAVE_EXPECT(count == 4);
      INTERLEAVE_EXPECT(x.load(memory_order_relaxed) == before);
    });
    EXPECT_TRUE(result.proved()) << before << ": " << result.report;
    EXPECT_EQ(result.executions, 6U) << before;
  }
}

}  // namespace
}  // namespace interleave::test
