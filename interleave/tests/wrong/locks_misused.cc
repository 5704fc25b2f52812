// The standard's locks, not quite used.
#include <memory>

#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, TwoDifferentMutexes) {
  expect_wrong(Verdict::race, [] {
    mutex first, second;
    var<int> data = 0;
    parallel(
        [&] {
          const std::lock_guard guard(first);
          data.set(1);  // <-- TwoDifferentMutexes
        },
        [&] {
          const std::lock_guard guard(second);
          data.set(2);  // <-- TwoDifferentMutexes
        });
  });
}

TEST(Wrong, OnlyTheWriterLocks) {
  expect_wrong(Verdict::race, [] {
    mutex lock;
    var<int> data = 0;
    parallel(
        [&] {
          const std::lock_guard guard(lock);
          data.set(1);  // <-- OnlyTheWriterLocks
        },
        [&] { data.get(); });  // <-- OnlyTheWriterLocks
  });
}

TEST(Wrong, UnlockedTooEarly) {
  expect_wrong(Verdict::race, [] {
    mutex lock;
    var<int> data = 0;
    const auto work = [&] {
      lock.lock();
      const int old = data.get();  // <-- UnlockedTooEarly
      lock.unlock();
      data.set(old + 1);  // <-- UnlockedTooEarly
    };
    parallel(work, work);
  });
}

TEST(Wrong, TryLockIgnored) {
  expect_wrong(Verdict::race, [] {
    mutex lock;
    var<int> data = 0;
    const auto work = [&] {
      const bool locked = lock.try_lock();
      data.set(1);  // <-- TryLockIgnored
      if (locked) lock.unlock();
    };
    parallel(work, work);
  });
}

TEST(Wrong, SemaphoreOfTwoAsALock) {
  expect_wrong(Verdict::race, [] {
    counting_semaphore<2> semaphore(2);
    var<int> data = 0;
    const auto work = [&] {
      semaphore.acquire();
      data.set(1);  // <-- SemaphoreOfTwoAsALock
      semaphore.release();
    };
    parallel(work, work);
  });
}

TEST(Wrong, ReadPastCallOnce) {
  expect_wrong(Verdict::race, [] {
    once_flag once;
    atomic<bool> done{false};
    var<int> data = 0;
    const auto work = [&] {
      if (!done.load(memory_order_relaxed)) {  // a short cut that does not synchronise
        call_once(once, [&] {
          data.set(1);  // <-- ReadPastCallOnce
          done.store(true, memory_order_relaxed);
        });
      }
      data.get();  // <-- ReadPastCallOnce
    };
    parallel(work, work);
  });
}

TEST(Wrong, ConditionReadWithoutTheLock) {
  expect_wrong(Verdict::race, [] {
    mutex lock;
    condition_variable changed;
    var<bool> ready = false;
    parallel(
        [&] {
          std::unique_lock guard(lock);
          while (!ready.get()) changed.wait(guard);  // <-- ConditionReadWithoutTheLock
        },
        [&] {
          ready.set(true);  // <-- ConditionReadWithoutTheLock
          const std::lock_guard guard(lock);
          changed.notify_one();
        });
  });
}

TEST(Wrong, UnlockedByAnotherThread) {
  expect_wrong(Verdict::misuse, [] {
    mutex lock;
    lock.lock();
    parallel([&] { lock.unlock(); });  // <-- UnlockedByAnotherThread
  });
}

TEST(Wrong, UnlockedTwice) {
  expect_wrong(Verdict::misuse, [] {
    mutex lock;
    lock.lock();
    lock.unlock();
    lock.unlock();  // <-- UnlockedTwice
  });
}

TEST(Wrong, DestroyedLocked) {
  expect_wrong(Verdict::misuse, [] {
    auto lock = std::make_unique<mutex>();
    lock->lock();
    lock.reset();  // <-- DestroyedLocked
  });
}

TEST(Wrong, DestroyedLockedByAThreadThatIsGone) {
  expect_wrong(Verdict::misuse, [] {
    auto lock = std::make_unique<mutex>();
    parallel([&] { lock->lock(); });
    lock.reset();  // <-- DestroyedLockedByAThreadThatIsGone
  });
}

TEST(Wrong, PostedTwice) {
  expect_wrong(Verdict::misuse, [] {
    binary_semaphore semaphore(0);
    const auto post = [&] { semaphore.release(); };  // <-- PostedTwice
    parallel(post, post);
    semaphore.acquire();
  });
}

TEST(Wrong, SemaphoreReleasesLessThanNone) {
  expect_wrong(Verdict::misuse, [] {
    counting_semaphore<8> semaphore(4);
    semaphore.release(-1);  // <-- SemaphoreReleasesLessThanNone
  });
}

TEST(Wrong, SemaphoreOfLessThanNone) {
  expect_wrong(Verdict::misuse, [] {
    std::ptrdiff_t none = -1;
    counting_semaphore<> semaphore(none);  // <-- SemaphoreOfLessThanNone
    semaphore.acquire();
  });
}

TEST(Wrong, BinarySemaphoreOfFive) {
  expect_wrong(Verdict::misuse, [] {
    binary_semaphore semaphore(5);  // <-- BinarySemaphoreOfFive
    semaphore.acquire();
  });
}

}  // namespace
}  // namespace interleave::test
