// Locks made of atomics: one inside at a time, and each sees what the one before wrote.
#include "support/locks.h"

#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, SpinLock) {
  expect_executions(4, [] {
    SpinLock<> lock;
    var<int> count = 0;
    const auto work = [&] {
      lock.lock();
      count.set(count.get() + 1);
      lock.unlock();
    };
    parallel(work, work);
    INTERLEAVE_EXPECT(count.get() == 2);
  });
}

TEST(Correct, TicketLock) {
  expect_executions(6, [] {  // the tickets' order decides everything
    TicketLock<> lock;
    var<int> count = 0;
    const auto work = [&] {
      lock.lock();
      count.set(count.get() + 1);
      lock.unlock();
    };
    parallel(work, work, work);
    INTERLEAVE_EXPECT(count.get() == 3);
  });
}

TEST(Correct, McsLockTwoThreads) {
  expect_executions(6, [] {
    McsLock<> lock;
    var<int> count = 0;
    const auto work = [&] {
      McsLock<>::Node node;
      lock.lock(node);
      count.set(count.get() + 1);
      lock.unlock(node);
    };
    parallel(work, work);
    INTERLEAVE_EXPECT(count.get() == 2);
  });
}

TEST(Correct, McsLockThreeThreads) {
  expect_executions(66, [] {
    McsLock<> lock;
    var<int> count = 0;
    const auto work = [&] {
      McsLock<>::Node node;
      lock.lock(node);
      count.set(count.get() + 1);
      lock.unlock(node);
    };
    parallel(work, work, work);
    INTERLEAVE_EXPECT(count.get() == 3);
  });
}

TEST(Correct, ReadersWriterLock) {
  expect_executions(58, [] {
    ReadersWriterLock<> lock;
    var<int> first = 0, second = 0;
    const auto reader = [&] {
      if (!lock.try_read()) return;
      INTERLEAVE_EXPECT(first.get() == second.get());
      lock.end_read();
    };
    parallel(reader, reader, [&] {
      if (!lock.try_write()) return;
      first.set(1);
      second.set(1);
      lock.end_write();
    });
  });
}

TEST(Correct, PetersonSequentiallyConsistent) {
  expect_executions(10, [] {
    Peterson<memory_order_seq_cst, memory_order_seq_cst> lock;
    var<int> count = 0;
    const auto work = [&](int me) {
      if (!lock.try_lock(me)) return;
      count.set(count.get() + 1);
      lock.unlock(me);
    };
    parallel([&] { work(0); }, [&] { work(1); });
  });
}

TEST(Correct, DekkerWithFences) {
  expect_executions(3, [] {
    atomic<bool> flag[2] = {false, false};
    var<int> data = 0;
    const auto enter = [&](int me) {
      flag[me].store(true, memory_order_relaxed);
      interleave::atomic_thread_fence(memory_order_seq_cst);
      if (!flag[1 - me].load(memory_order_relaxed)) data.set(me);
    };
    parallel([&] { enter(0); }, [&] { enter(1); });
  });
}

}  // namespace
}  // namespace interleave::test
