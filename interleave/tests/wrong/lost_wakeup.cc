// Sleepers whose notification came before they slept, went to another one, or was never sent.
#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, WaitWithoutACondition) {
  expect_wrong(Verdict::lost_wakeup, [] {
    mutex lock;
    condition_variable changed;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          changed.wait(guard);  // <-- WaitWithoutACondition
        },
        [&] { changed.notify_one(); });
  });
}

// Set and notified between the waiter's look at the flag and its wait.
TEST(Wrong, FlagSetWithoutTheLock) {
  expect_wrong(Verdict::lost_wakeup, [] {
    mutex lock;
    condition_variable changed;
    atomic<bool> ready{false};
    parallel(
        [&] {
          std::unique_lock guard(lock);
          while (!ready.load(memory_order_acquire)) changed.wait(guard);  // <-- FlagSetWithoutTheLock
        },
        [&] {
          ready.store(true, memory_order_release);
          changed.notify_one();
        });
  });
}

// One condition variable for two conditions: notify_one picks the thread that cannot use it.
TEST(Wrong, NotifyOneForTwoConditions) {
  expect_wrong(Verdict::lost_wakeup, [] {
    mutex lock;
    condition_variable changed;
    bool first = false, second = false;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          while (!first) changed.wait(guard);  // <-- NotifyOneForTwoConditions
        },
        [&] {
          std::unique_lock guard(lock);
          while (!second) changed.wait(guard);  // <-- NotifyOneForTwoConditions
        },
        [&] {
          {
            const std::lock_guard guard(lock);
            first = true;
            changed.notify_one();
          }
          const std::lock_guard guard(lock);
          second = true;
          changed.notify_one();
        });
  });
}

// Notifies only when the queue was empty; two consumers sleep, two items come, one consumer is woken.
TEST(Wrong, NotifyOnlyWhenItWasEmpty) {
  expect_wrong(Verdict::lost_wakeup, [] {
    mutex lock;
    condition_variable filled;
    int items = 0;
    const auto consume = [&] {
      std::unique_lock guard(lock);
      while (items == 0) filled.wait(guard);  // <-- NotifyOnlyWhenItWasEmpty
      --items;
    };
    parallel(consume, consume, [&] {
      for (int i = 0; i < 2; ++i) {
        const std::lock_guard guard(lock);
        if (items++ == 0) filled.notify_one();
      }
    });
  });
}

TEST(Wrong, AtomicWaitNeverNotified) {
  expect_wrong(Verdict::lost_wakeup, [] {
    atomic<int> value{0};
    parallel([&] { value.store(1, memory_order_release); },
             [&] { value.wait(0, memory_order_acquire); });  // <-- AtomicWaitNeverNotified
  });
}

TEST(Wrong, AtomicNotifiedBeforeTheStore) {
  expect_wrong(Verdict::lost_wakeup, [] {
    atomic<int> value{0};
    parallel(
        [&] {
          value.notify_one();
          value.store(1, memory_order_release);
        },
        [&] { value.wait(0, memory_order_acquire); });  // <-- AtomicNotifiedBeforeTheStore
  });
}

// Two sleep on one atomic, one is woken.
TEST(Wrong, AtomicNotifyOneForTwo) {
  expect_wrong(Verdict::lost_wakeup, [] {
    atomic<int> value{0};
    const auto wait = [&] { value.wait(0, memory_order_acquire); };  // <-- AtomicNotifyOneForTwo
    parallel(wait, wait, [&] {
      value.store(1, memory_order_release);
      value.notify_one();
    });
  });
}

}  // namespace
}  // namespace interleave::test
