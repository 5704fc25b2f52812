// Choices of the test's own, and the fork of the process.
#include <exception>
#include <memory>
#include <new>

#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, Choose) {
  expect_executions(6, [] {
    const unsigned first = choose(2);
    const unsigned second = choose(3);
    INTERLEAVE_EXPECT(first < 2 && second < 3);
  });
}

TEST(Correct, ChooseBehindALoadThatIsRevisited) {
  expect_executions(4, [] {  // two choices, two values
    atomic<int> x{0};
    parallel(
        [&] {
          (void)x.load(memory_order_relaxed);
          (void)choose(2);
        },
        [&] { x.store(1, memory_order_relaxed); });
  });
}

TEST(Correct, ForkGoesOnAsParentAndAsChild) {
  bool parent = false, child = false;
  expect_executions(2, [&] { (fork() == 0 ? child : parent) = true; });
  EXPECT_TRUE(parent && child);
}

mutex* guarded_by_fork = nullptr;

TEST(Correct, ForkWithHandlersLeavesTheLockUsable) {
  expect_proved([] {
    mutex lock;
    guarded_by_fork = &lock;
    at_fork([] { guarded_by_fork->lock(); }, [] { guarded_by_fork->unlock(); },
            [] { guarded_by_fork->unlock(); });
    thread other([&] { const std::lock_guard guard(lock); });
    const bool child = fork() == 0;
    { const std::lock_guard guard(lock); }
    if (child) {
      other.detach();
    } else {
      other.join();
    }
  });
}

// One of three fails, or none, and another thread's do not.
TEST(Correct, FailAllocations) {
  expect_executions(4, [] {
    fail_allocations(1);
    try {
      for (int i = 0; i < 3; ++i) delete new atomic<int>(i);
    } catch (const std::bad_alloc&) {
      delete new atomic<int>(1);
    }
    fail_allocations(0);
    thread([] { delete new atomic<int>(1); }).join();
  });
}

// The C++ runtime has memory for exceptions where nobody else has any.
TEST(Correct, FailNoAllocationOfAnException) {
  expect_executions(1, [] {
    fail_allocations(1);
    const auto throw_and_catch = [] {
      try {
        throw 1;
      } catch (...) {
        const std::exception_ptr kept = std::current_exception();
      }
    };
    throw_and_catch();
    INTERLEAVE_EXPECT(fail_allocations(0) == 1);
  });
}

// What a thread is to run is allocated by whoever starts it.
TEST(Correct, FailAllocationOfAThread) {
  expect_executions(2, [] {
    fail_allocations(1);
    bool ran = false;
    bool failed = false;
    try {
      thread([&] { ran = true; }).join();
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    INTERLEAVE_EXPECT(fail_allocations(0) == (failed ? 0 : 1));
    INTERLEAVE_EXPECT(ran != failed);
  });
}

// Who has locked it is not in the child, and never unlocks it.
TEST(Correct, AChildMakesALockedMutexAnew) {
  expect_proved([] {
    mutex lock;
    atomic<bool> locked{false}, forked{false};
    const auto is_set = [](bool now) { return now; };
    thread other([&] {
      const std::lock_guard guard(lock);
      locked.store(true, memory_order_release);
      await(forked, is_set, memory_order_relaxed);
    });
    await(locked, is_set, memory_order_acquire);
    if (fork() == 0) {
      std::destroy_at(&lock);
      new (&lock) mutex;
      const std::lock_guard guard(lock);
      other.detach();
    } else {
      forked.store(true, memory_order_relaxed);
      other.join();
    }
  });
}

TEST(Correct, ScenariosThatAssumeAreCounted) {
  const Result result = check([] { assume(choose(4) % 2 == 0); });
  EXPECT_TRUE(result.proved()) << result.report;
  EXPECT_EQ(result.executions, 2U);
  EXPECT_EQ(result.blocked, 2U);
}

}  // namespace
}  // namespace interleave::test
