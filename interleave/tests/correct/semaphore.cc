// std::counting_semaphore: every order of taking and giving that keeps the count from falling below zero.
#include "support/scenario.h"

namespace interleave::test {
namespace {

using namespace std::chrono_literals;

TEST(Correct, SemaphoreOfOne) {
  expect_executions(6, [] {
    binary_semaphore semaphore(1);
    var<int> count = 0;
    const auto work = [&] {
      semaphore.acquire();
      count.set(count.get() + 1);
      semaphore.release();
    };
    parallel(work, work, work);
  });
}

// Whatever the order, the count is one at most.
TEST(Correct, SemaphoreHandedToAndFro) {
  expect_executions(1, [] {
    binary_semaphore there(0), back(1);
    parallel(
        [&] {
          for (int i = 0; i < 2; ++i) {
            back.acquire();
            there.release();
          }
        },
        [&] {
          for (int i = 0; i < 2; ++i) {
            there.acquire();
            back.release();
          }
        });
  });
}

TEST(Correct, SemaphoreOfTwo) {
  // 6!/(2!2!2!) = 90 orders of three takings before their givings, less 3!3! = 36 with three inside at once.
  expect_executions(54, [] {
    counting_semaphore<2> semaphore(2);
    const auto work = [&] {
      semaphore.acquire();
      semaphore.release();
    };
    parallel(work, work, work);
  });
}

TEST(Correct, SemaphoreHandsOver) {
  expect_executions(1, [] {
    counting_semaphore<> semaphore(0);
    var<int> data = 0;
    parallel(
        [&] {
          data.set(3);
          semaphore.release();
        },
        [&] {
          semaphore.acquire();
          INTERLEAVE_EXPECT(data.get() == 3);
        });
  });
}

TEST(Correct, SemaphoreReleaseOfTwo) {
  expect_executions(2, [] {  // who takes first
    counting_semaphore<> semaphore(0);
    parallel([&] { semaphore.release(2); }, [&] { semaphore.acquire(); }, [&] { semaphore.acquire(); });
  });
}

TEST(Correct, SemaphoreTryAcquire) {
  expect_executions(2, [] {  // before and after the release
    counting_semaphore<> semaphore(0);
    bool taken = false;
    parallel([&] { semaphore.release(); }, [&] { taken = semaphore.try_acquire(); });
    INTERLEAVE_EXPECT(taken != semaphore.try_acquire());
  });
}

TEST(Correct, SemaphoreTimesOut) {
  bool taken_once = false, timed_out = false;
  expect_executions(2, [&] {
    counting_semaphore<> semaphore(0);
    parallel([&] { semaphore.release(); },
             [&] { (semaphore.try_acquire_for(5ms) ? taken_once : timed_out) = true; });
  });
  EXPECT_TRUE(taken_once && timed_out);
}

}  // namespace
}  // namespace interleave::test
