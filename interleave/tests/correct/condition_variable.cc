// std::condition_variable: which waiter is woken, waits that time out, waits that end for no reason.
#include "support/scenario.h"

namespace interleave::test {
namespace {

using namespace std::chrono_literals;

TEST(Correct, ConditionFlag) {
  expect_executions(2, [] {  // the waiter comes too late to wait, or waits
    mutex lock;
    condition_variable changed;
    bool ready = false;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          changed.wait(guard, [&] { return ready; });
        },
        [&] {
          {
            const std::lock_guard guard(lock);
            ready = true;
          }
          changed.notify_one();
        });
  });
}

TEST(Correct, ConditionFlagNotifiedUnderTheLock) {
  expect_executions(2, [] {
    mutex lock;
    condition_variable changed;
    bool ready = false;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          changed.wait(guard, [&] { return ready; });
        },
        [&] {
          const std::lock_guard guard(lock);
          ready = true;
          changed.notify_all();
        });
  });
}

TEST(Correct, ConditionSpuriousWakeup) {
  // Beyond the two above, the waiter may wake for no reason: before the notifier locks, and then it waits
  // again and is notified; or after, and then finds the flag set. That wake-up and the notification are
  // concurrent: the notification finds the waiter gone.
  Options options;
  options.spurious_wakeups = true;
  expect_executions(
      4,
      [] {
        mutex lock;
        condition_variable changed;
        bool ready = false;
        parallel(
            [&] {
              std::unique_lock guard(lock);
              changed.wait(guard, [&] { return ready; });
            },
            [&] {
              const std::lock_guard guard(lock);
              ready = true;
              changed.notify_one();
            });
      },
      options);
}

TEST(Correct, ConditionTimesOut) {
  expect_executions(1, [] {  // nobody notifies: it can only time out
    mutex lock;
    condition_variable changed;
    const auto before = clock::now();
    std::unique_lock guard(lock);
    INTERLEAVE_EXPECT(changed.wait_for(guard, 10ms) == std::cv_status::timeout);
    INTERLEAVE_EXPECT(clock::now() - before >= 10ms);
  });
}

TEST(Correct, ConditionTimedWaitIsNotifiedOrTimesOut) {
  bool notified = false, timed_out = false, never_waited = false;
  expect_proved([&] {
    mutex lock;
    condition_variable changed;
    bool ready = false;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          if (ready) {
            never_waited = true;
          } else if (changed.wait_for(guard, 1s) == std::cv_status::timeout) {
            timed_out = true;
          } else {
            notified = true;
            INTERLEAVE_EXPECT(ready);
          }
        },
        [&] {
          const std::lock_guard guard(lock);
          ready = true;
          changed.notify_one();
        });
  });
  EXPECT_TRUE(notified && timed_out && never_waited);
}

TEST(Correct, ConditionTimedWaitWithCondition) {
  expect_proved([] {
    mutex lock;
    condition_variable changed;
    bool ready = false;
    bool seen = false;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          seen = changed.wait_for(guard, 1s, [&] { return ready; });
          INTERLEAVE_EXPECT(seen == ready);
        },
        [&] {
          const std::lock_guard guard(lock);
          ready = true;
          changed.notify_one();
        });
  });
}

TEST(Correct, ConditionNotifyOneMayWakeEither) {
  bool first_woken = false, second_woken = false;
  expect_proved([&] {
    mutex lock;
    condition_variable changed;
    int waiting = 0, permits = 0;
    int order = 0;
    const auto wait = [&](bool& first) {
      std::unique_lock guard(lock);
      ++waiting;
      changed.wait(guard, [&] { return permits > 0; });
      --permits;
      if (order++ == 0 && waiting == 2) first = true;
    };
    parallel([&] { wait(first_woken); }, [&] { wait(second_woken); },
             [&] {
               for (int i = 0; i < 2; ++i) {
                 const std::lock_guard guard(lock);
                 ++permits;
                 changed.notify_one();
               }
             });
    INTERLEAVE_EXPECT(permits == 0);
  });
  EXPECT_TRUE(first_woken && second_woken);
}

// The notification is there before the waits, which revisit it; it concerns whoever waits at its place.
TEST(Correct, ConditionNotifyBeforeTheWaits) {
  // 2 * (5 + 2 * (5 + 6 + 6)). With the second thread's first critical section ahead of the third's, its
  // second one stands in any of 3 places. Before both of the third's: the waits follow each other, and the
  // notification has 5 places. Else the first wait ends before the second begins, or first, or last: 5, 6 and
  // 6, since of two that wait at the notification's place it may wake either. As many with the third's ahead.
  expect_executions(78, [] {
    mutex lock;
    condition_variable changed;
    const auto wait = [&] {
      std::unique_lock guard(lock);
      changed.wait_for(guard, 1s);
    };
    parallel([&] { changed.notify_one(); }, wait, wait);
  });
}

TEST(Correct, ConditionNotifyBehindALoadThatIsRevisited) {
  expect_proved([] {
    mutex lock;
    condition_variable changed;
    int permits = 0;
    atomic<int> x{0};
    const auto wait = [&] {
      std::unique_lock guard(lock);
      changed.wait(guard, [&] { return permits > 0; });
      --permits;
    };
    parallel(
        wait, wait,
        [&] {
          (void)x.load(memory_order_relaxed);
          const std::lock_guard guard(lock);
          permits = 2;
          changed.notify_one();
          changed.notify_one();
        },
        [&] { x.store(1, memory_order_relaxed); });
  });
}

TEST(Correct, ConditionQueue) {
  expect_proved([] {
    mutex lock;
    condition_variable filled;
    int items = 0;
    const auto consume = [&] {
      std::unique_lock guard(lock);
      filled.wait(guard, [&] { return items > 0; });
      --items;
    };
    const auto produce = [&] {
      {
        const std::lock_guard guard(lock);
        ++items;
      }
      filled.notify_one();
    };
    parallel(consume, consume, produce, produce);
    INTERLEAVE_EXPECT(items == 0);
  });
}

}  // namespace
}  // namespace interleave::test
