// Outcomes that interleavings do not have, or that people do not think of.
#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, StoreBuffering) {
  expect_wrong(Verdict::assertion, [] {
    atomic<int> x{0}, y{0};
    int first = 0, second = 0;
    parallel(
        [&] {
          x.store(1, memory_order_release);
          first = y.load(memory_order_acquire);
        },
        [&] {
          y.store(1, memory_order_release);
          second = x.load(memory_order_acquire);
        });
    INTERLEAVE_EXPECT(first == 1 || second == 1);  // <-- StoreBuffering
  });
}

TEST(Wrong, IndependentReadersDisagree) {
  expect_wrong(Verdict::assertion, [] {
    atomic<int> x{0}, y{0};
    int seen[4] = {};
    parallel([&] { x.store(1, memory_order_release); }, [&] { y.store(1, memory_order_release); },
             [&] {
               seen[0] = x.load(memory_order_acquire);
               seen[1] = y.load(memory_order_acquire);
             },
             [&] {
               seen[2] = y.load(memory_order_acquire);
               seen[3] = x.load(memory_order_acquire);
             });
    const bool disagree = seen[0] == 1 && seen[1] == 0 && seen[2] == 1 && seen[3] == 0;
    INTERLEAVE_EXPECT(!disagree);  // <-- IndependentReadersDisagree
  });
}

TEST(Wrong, LostUpdate) {
  expect_wrong(Verdict::assertion, [] {
    atomic<int> count{0};
    const auto add = [&] { count.store(count.load() + 1); };
    parallel(add, add);
    INTERLEAVE_EXPECT(count.load() == 2);  // <-- LostUpdate
  });
}

// Modification order need not be the order of execution.
TEST(Wrong, WritesCross) {
  expect_wrong(Verdict::assertion, [] {
    atomic<int> x{0}, y{0};
    parallel(
        [&] {
          x.store(1, memory_order_relaxed);
          y.store(2, memory_order_relaxed);
        },
        [&] {
          y.store(1, memory_order_relaxed);
          x.store(2, memory_order_relaxed);
        });
    INTERLEAVE_EXPECT(!(x.load() == 1 && y.load() == 1));  // <-- WritesCross
  });
}

TEST(Wrong, WaitInAnIf) {
  Options options;
  options.spurious_wakeups = true;
  expect_wrong(
      Verdict::assertion,
      [] {
        mutex lock;
        condition_variable changed;
        bool ready = false;
        parallel(
            [&] {
              std::unique_lock guard(lock);
              if (!ready) changed.wait(guard);
              INTERLEAVE_EXPECT(ready);  // <-- WaitInAnIf
            },
            [&] {
              const std::lock_guard guard(lock);
              ready = true;
              changed.notify_one();
            });
      },
      options);
}

TEST(Wrong, TimeoutIgnored) {
  expect_wrong(Verdict::assertion, [] {
    mutex lock;
    condition_variable changed;
    bool ready = false;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          if (!ready) (void)changed.wait_for(guard, std::chrono::seconds(5));
          INTERLEAVE_EXPECT(ready);  // <-- TimeoutIgnored
        },
        [&] {
          const std::lock_guard guard(lock);
          ready = true;
          changed.notify_one();
        });
  });
}

TEST(Wrong, FailsInOneThreadOfFour) {
  expect_wrong(Verdict::assertion, [] {
    atomic<int> order{0};
    const auto work = [&](int me) {
      const int place = order.fetch_add(1, memory_order_relaxed);
      INTERLEAVE_EXPECT(!(me == 3 && place == 0));  // <-- FailsInOneThreadOfFour
    };
    parallel([&] { work(0); }, [&] { work(1); }, [&] { work(2); }, [&] { work(3); });
  });
}

}  // namespace
}  // namespace interleave::test
