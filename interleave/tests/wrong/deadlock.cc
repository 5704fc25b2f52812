// Threads that wait for each other, or for what nobody is going to do.
#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, LockOrder) {
  expect_wrong(Verdict::deadlock, [] {
    mutex first, second;
    parallel(
        [&] {
          const std::lock_guard outer(first);
          second.lock();  // <-- LockOrder
          second.unlock();
        },
        [&] {
          const std::lock_guard outer(second);
          first.lock();  // <-- LockOrder
          first.unlock();
        });
  });
}

TEST(Wrong, ThreePhilosophers) {
  expect_wrong(Verdict::deadlock, [] {
    mutex forks[3];
    const auto dine = [&](int seat) {
      const std::lock_guard left(forks[seat]);
      forks[(seat + 1) % 3].lock();  // <-- ThreePhilosophers
      forks[(seat + 1) % 3].unlock();
    };
    parallel([&] { dine(0); }, [&] { dine(1); }, [&] { dine(2); });
  });
}

TEST(Wrong, LockedTwice) {
  expect_wrong(Verdict::deadlock, [] {
    mutex lock;
    lock.lock();
    lock.lock();  // <-- LockedTwice
  });
}

TEST(Wrong, JoinUnderTheLock) {
  expect_wrong(Verdict::deadlock, [] {
    mutex lock;
    thread worker([&] {
      lock.lock();  // <-- JoinUnderTheLock
      lock.unlock();
    });
    const std::lock_guard guard(lock);
    worker.join();  // <-- JoinUnderTheLock
  });
}

TEST(Wrong, SemaphoreNobodyReleases) {
  expect_wrong(Verdict::deadlock, [] {
    counting_semaphore<> semaphore(1);
    const auto work = [&] {
      semaphore.acquire();  // <-- SemaphoreNobodyReleases
    };
    parallel(work, work);
  });
}

TEST(Wrong, NotifyForgotten) {
  expect_wrong(Verdict::deadlock, [] {
    mutex lock;
    condition_variable changed;
    bool ready = false;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          while (!ready) changed.wait(guard);  // <-- NotifyForgotten
        },
        [&] {
          const std::lock_guard guard(lock);
          ready = true;
        });
  });
}

// The error path returns without unlocking.
TEST(Wrong, UnlockForgotten) {
  expect_wrong(Verdict::deadlock, [] {
    mutex lock;
    int uses = 0;
    const auto work = [&] {
      lock.lock();  // <-- UnlockForgotten
      if (++uses == 1) return;
      lock.unlock();
    };
    parallel(work, work);
  });
}

// The child has the memory in which another thread holds the lock, but not that thread.
TEST(Wrong, ForkWithALockHeld) {
  expect_wrong(Verdict::deadlock, [] {
    mutex lock;
    thread other([&] {
      lock.lock();
      lock.unlock();
    });
    const bool child = fork() == 0;
    lock.lock();  // <-- ForkWithALockHeld
    lock.unlock();
    if (child) {
      other.detach();
    } else {
      other.join();
    }
  });
}

// Each object of a report is named by where it was made, but for the one that nothing has happened to.
TEST(Wrong, ReportsSayWhereObjectsWereMade) {
  const Result result = check([] {
    atomic<int> number;
    atomic_flag flag;
    mutex lock;
    condition_variable changed;
    binary_semaphore semaphore(0);
    number.store(1);
    flag.clear();
    std::unique_lock guard(lock);
    changed.notify_one();
    semaphore.acquire();
  });
  EXPECT_EQ(result.verdict, Verdict::deadlock) << summary(result);
  const unsigned last = result.where.line;
  for (unsigned before = 6; before <= 9; ++before) {
    const std::string made = "made at deadlock.cc:" + std::to_string(last - before) + "\n";
    EXPECT_NE(result.report.find(made), std::string::npos) << made << result.report;
  }
}

}  // namespace
}  // namespace interleave::test
