// Locks made of atomics, with one order too weak.
#include "support/locks.h"

#include "support/wrong.h"

namespace interleave::test {
namespace {

constexpr auto kRelaxed = memory_order_relaxed;
constexpr auto kAcquire = memory_order_acquire;
constexpr auto kRelease = memory_order_release;

TEST(Wrong, SpinLockEnteredRelaxed) {
  expect_wrong(Verdict::race, [] {
    SpinLock<kRelaxed> lock;
    var<int> data = 0;
    const auto work = [&] {
      lock.lock();
      data.set(data.get() + 1);  // <-- SpinLockEnteredRelaxed
      lock.unlock();
    };
    parallel(work, work);
  });
}

TEST(Wrong, SpinLockLeftRelaxed) {
  expect_wrong(Verdict::race, [] {
    SpinLock<kAcquire, kRelaxed> lock;
    var<int> data = 0;
    const auto work = [&] {
      lock.lock();
      data.set(data.get() + 1);  // <-- SpinLockLeftRelaxed
      lock.unlock();
    };
    parallel(work, work);
  });
}

TEST(Wrong, TicketLockServedRelaxed) {
  expect_wrong(Verdict::race, [] {
    TicketLock<kAcquire, kRelaxed> lock;
    var<int> data = 0;
    const auto work = [&] {
      lock.lock();
      data.set(data.get() + 1);  // <-- TicketLockServedRelaxed
      lock.unlock();
    };
    parallel(work, work);
  });
}

TEST(Wrong, McsLockHandedOverRelaxed) {
  expect_wrong(Verdict::race, [] {
    McsLock<kAcquire, kRelaxed> lock;
    var<int> data = 0;
    const auto work = [&] {
      McsLock<kAcquire, kRelaxed>::Node node;
      lock.lock(node);
      data.set(data.get() + 1);  // <-- McsLockHandedOverRelaxed
      lock.unlock(node);
    };
    parallel(work, work);
  });
}

TEST(Wrong, ReaderLeavesRelaxed) {
  expect_wrong(Verdict::race, [] {
    ReadersWriterLock<kRelaxed> lock;
    var<int> data = 0;
    parallel(
        [&] {
          if (!lock.try_read()) return;
          data.get();  // <-- ReaderLeavesRelaxed
          lock.end_read();
        },
        [&] {
          if (!lock.try_write()) return;
          data.set(1);  // <-- ReaderLeavesRelaxed
          lock.end_write();
        });
  });
}

TEST(Wrong, PetersonAcquireRelease) {
  expect_wrong(Verdict::race, [] {
    Peterson<kAcquire, kRelease> lock;
    var<int> data = 0;
    const auto work = [&](int me) {
      if (!lock.try_lock(me)) return;
      data.set(me);  // <-- PetersonAcquireRelease
      lock.unlock(me);
    };
    parallel([&] { work(0); }, [&] { work(1); });
  });
}

TEST(Wrong, DekkerAcquireRelease) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> flag[2] = {false, false};
    var<int> data = 0;
    const auto enter = [&](int me) {
      flag[me].store(true, kRelease);
      if (!flag[1 - me].load(kAcquire)) data.set(me);  // <-- DekkerAcquireRelease
    };
    parallel([&] { enter(0); }, [&] { enter(1); });
  });
}

// The fence orders this thread's store and load only if the other thread has one too.
TEST(Wrong, DekkerWithOneFence) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> flag[2] = {false, false};
    var<int> data = 0;
    const auto enter = [&](int me) {
      flag[me].store(true, kRelaxed);
      if (me == 0) interleave::atomic_thread_fence(memory_order_seq_cst);
      if (!flag[1 - me].load(kRelaxed)) data.set(me);  // <-- DekkerWithOneFence
    };
    parallel([&] { enter(0); }, [&] { enter(1); });
  });
}

// The second is no part of what the await is woken by.
TEST(Wrong, AwaitsTwoAtOnce) {
  expect_wrong(Verdict::misuse, [] {
    atomic<int> a{0}, b{1};
    await(a, [&](int now) {
      return now == b.load() - 1;  // <-- AwaitsTwoAtOnce
    });
  });
}

TEST(Wrong, AwaitsAndCounts) {
  expect_wrong(Verdict::misuse, [] {
    atomic<int> a{0}, tries{0};
    parallel([&] { a.store(1); },
             [&] {
               await(a, [&](int now) {
                 if (now == 0) return false;
                 tries++;  // <-- AwaitsAndCounts
                 return true;
               });
             });
  });
}

}  // namespace
}  // namespace interleave::test
