// std::atomic::wait: ends when a load gives another value, and never without a notification.
#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, WaitForOneStore) {
  expect_executions(1, [] {  // the load that ends the wait has one store to read
    atomic<int> value{0};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);
          value.store(1, memory_order_release);
          value.notify_one();
        },
        [&] {
          value.wait(0, memory_order_acquire);
          INTERLEAVE_EXPECT(data.get() == 1);
        });
  });
}

TEST(Correct, WaitForOneOfTwoStores) {
  expect_executions(2, [] {
    atomic<int> value{0};
    parallel(
        [&] {
          value.store(1, memory_order_release);
          value.notify_all();
          value.store(2, memory_order_release);
          value.notify_all();
        },
        [&] { value.wait(0, memory_order_acquire); });
  });
}

TEST(Correct, WaitOfTwoThreads) {
  expect_executions(1, [] {
    atomic<bool> open{false};
    const auto wait = [&] { open.wait(false, memory_order_acquire); };
    parallel(
        [&] {
          open.store(true, memory_order_release);
          open.notify_all();
        },
        wait, wait);
  });
}

TEST(Correct, AwaitReadsAnyValueThatEndsIt) {
  expect_executions(2, [] {
    atomic<int> value{0};
    parallel(
        [&] {
          value.store(1, memory_order_relaxed);
          value.store(2, memory_order_relaxed);
          value.store(3, memory_order_relaxed);
        },
        [&] {
          const int seen = await(
              value, [](int now) { return now >= 2; }, memory_order_relaxed);
          INTERLEAVE_EXPECT(seen == 2 || seen == 3);
        });
  });
}

// A value comes after the await has ended, and does not end it: the await is met again with what follows.
TEST(Correct, AwaitPassesOverALaterValue) {
  expect_executions(2, [] {  // it reads the first 1 or the second one, never the 2 between them
    atomic<int> value{0}, go{0};
    const auto is_one = [](int now) { return now == 1; };
    parallel([&] { INTERLEAVE_EXPECT(await(value, is_one, memory_order_relaxed) == 1); },
             [&] {
               await(go, is_one, memory_order_acquire);
               value.store(2, memory_order_relaxed);
               value.store(1, memory_order_relaxed);
             },
             [&] {
               value.store(1, memory_order_relaxed);
               go.store(1, memory_order_release);
             });
  });
}

// What is there when the wait is added ends it; no run is spent on its blocking on the value before.
TEST(Correct, WaitBlocksOnTheNewestValueOnly) {
  const Result result = check([] {
    atomic<int> value{0};
    parallel(
        [&] {
          value.store(1, memory_order_release);
          value.notify_one();
        },
        [&] { value.wait(0, memory_order_acquire); });
  });
  EXPECT_TRUE(result.proved()) << summary(result) << '\n' << result.report;
  EXPECT_EQ(result.executions, 1U) << summary(result);
  EXPECT_EQ(result.blocked, 0U) << summary(result);
}

TEST(Correct, AtomicFlagHandsOver) {
  expect_executions(1, [] {
    atomic_flag flag;
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);
          flag.test_and_set(memory_order_release);
          flag.notify_one();
        },
        [&] {
          flag.wait(false, memory_order_acquire);
          INTERLEAVE_EXPECT(data.get() == 1);
        });
  });
}

TEST(Correct, SpinningLoopEnds) {
  expect_proved([] {
    atomic<bool> ready{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);
          ready.store(true, memory_order_release);
        },
        [&] {
          while (!ready.load(memory_order_acquire)) yield();
          INTERLEAVE_EXPECT(data.get() == 1);
        });
  });
}

}  // namespace
}  // namespace interleave::test
