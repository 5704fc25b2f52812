// std::mutex: N critical sections come in N! orders; try_lock fails only while another thread holds it.
#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, MutexTwoThreads) {
  expect_executions(2, [] {
    mutex lock;
    var<int> count = 0;
    const auto work = [&] {
      const std::lock_guard guard(lock);
      count.set(count.get() + 1);
    };
    parallel(work, work);
    INTERLEAVE_EXPECT(count.get() == 2);
  });
}

TEST(Correct, MutexFourThreads) {
  expect_executions(24, [] {
    mutex lock;
    var<int> count = 0;
    const auto work = [&] {
      const std::lock_guard guard(lock);
      count.set(count.get() + 1);
    };
    parallel(work, work, work, work);
    INTERLEAVE_EXPECT(count.get() == 4);
  });
}

TEST(Correct, TwoMutexesAreIndependent) {
  expect_executions(4, [] {  // 2! for each
    mutex first, second;
    const auto work = [&] {
      first.lock();
      first.unlock();
      second.lock();
      second.unlock();
    };
    parallel(work, work);
  });
}

TEST(Correct, ScopedLockOfTwoMutexes) {
  expect_proved([] {  // std::lock backs off with try_lock: no deadlock whatever the order
    mutex first, second;
    var<int> count = 0;
    parallel(
        [&] {
          const std::scoped_lock both(first, second);
          count.set(count.get() + 1);
        },
        [&] {
          const std::scoped_lock both(first, second);
          count.set(count.get() + 1);
        });
    INTERLEAVE_EXPECT(count.get() == 2);
  });
}

TEST(Correct, TryLockAgainstLock) {
  expect_executions(3, [] {  // before, while and after it is held
    mutex lock;
    var<int> count = 0;
    bool tried = false;
    parallel(
        [&] {
          const std::lock_guard guard(lock);
          count.set(count.get() + 1);
        },
        [&] {
          tried = lock.try_lock();
          if (!tried) return;
          count.set(count.get() + 1);
          lock.unlock();
        });
    INTERLEAVE_EXPECT(count.get() == 1 + tried);
  });
}

TEST(Correct, TryLockBehindALoadThatIsRevisited) {
  expect_executions(6, [] {  // before, while and after it is held, and two values, independently
    mutex lock;
    atomic<int> x{0};
    parallel(
        [&] {
          lock.lock();
          lock.unlock();
        },
        [&] {
          (void)x.load(memory_order_relaxed);
          if (lock.try_lock()) lock.unlock();
        },
        [&] { x.store(1, memory_order_relaxed); });
  });
}

// The unlock is added when both try_locks, and runs in which one of them has succeeded, are there already.
TEST(Correct, TwoTryLocksBeforeAnUnlockThatComesLate) {
  // Two values, independently, times 6 + 8 + 1: all own the mutex; one try_lock fails, with either of the 2
  // others as its owner, in 2 orders; or both fail.
  expect_executions(30, [] {
    mutex lock;
    atomic<int> x{0};
    const auto attempt = [&] {
      if (lock.try_lock()) lock.unlock();
    };
    parallel(
        attempt, attempt,
        [&] {
          const std::lock_guard guard(lock);
          (void)x.load(memory_order_relaxed);
        },
        [&] { x.store(1, memory_order_relaxed); });
  });
}

TEST(Correct, TryLockTwice) {
  expect_executions(4, [] {  // who is first, and whether the other comes while it is held
    mutex lock;
    int successes = 0;
    const auto work = [&] {
      if (!lock.try_lock()) return;
      ++successes;
      lock.unlock();
    };
    parallel(work, work);
    INTERLEAVE_EXPECT(successes >= 1);
  });
}

TEST(Correct, TryLockThreeTimes) {
  expect_executions(21, [] {  // 3! all succeed; 3 * 2 * 2 two do; 3 one does
    mutex lock;
    int successes = 0;
    const auto work = [&] {
      if (!lock.try_lock()) return;
      ++successes;
      lock.unlock();
    };
    parallel(work, work, work);
    INTERLEAVE_EXPECT(successes >= 1);
  });
}

}  // namespace
}  // namespace interleave::test
