// Larger programs whose counts are known from elsewhere.
#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, LockInc7) {
  expect_executions(5040, [] {
    mutex lock;
    var<int> count = 0;
    const auto work = [&] {
      lock.lock();
      count.set(count.get() + 1);
      lock.unlock();
    };
    parallel(work, work, work, work, work, work, work);
    INTERLEAVE_EXPECT(count.get() == 7);
  });
}

TEST(Correct, CasRot9) {
  expect_executions(8597, [] {
    atomic<int> x{0};
    const auto step = [&](int from) {
      x.compare_exchange_strong(from, from + 1, memory_order_relaxed, memory_order_relaxed);
    };
    parallel([&] { step(0); }, [&] { step(1); }, [&] { step(2); }, [&] { step(3); }, [&] { step(4); },
             [&] { step(5); }, [&] { step(6); }, [&] { step(7); }, [&] { step(8); });
  });
}

TEST(Correct, LastZero15) {
  expect_executions(147456, [] {
    constexpr int kThreads = 15;
    atomic<int> cells[kThreads + 1] = {};
    thread threads[kThreads + 1];
    threads[0] = thread([&] {
      int at = kThreads;
      while (cells[at].load(memory_order_acquire) != 0) --at;
    });
    for (int t = 1; t <= kThreads; ++t) {
      threads[t] = thread(
          [&cells, t] { cells[t].store(cells[t - 1].load(memory_order_acquire) + 1, memory_order_release); });
    }
    for (thread& each : threads) each.join();
  });
}

TEST(Correct, Fibonacci5) {
  expect_executions(525630, [] {
    atomic<int> x{1}, y{1};
    const auto sum = [&](atomic<int>& mine) {
      for (int i = 0; i < 5; ++i) {
        const int first = x.load(memory_order_acquire);
        mine.store(first + y.load(memory_order_acquire), memory_order_release);
      }
    };
    parallel([&] { sum(x); }, [&] { sum(y); },
             [&] {
               if (x.load(memory_order_acquire) > 144) return;
               INTERLEAVE_EXPECT(y.load(memory_order_acquire) <= 144);
             });
  });
}

}  // namespace
}  // namespace interleave::test
