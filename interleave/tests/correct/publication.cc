// Ways to hand data over, each with the weakest orders that do.
#include "support/scenario.h"
#include "support/seqlock.h"

namespace interleave::test {
namespace {

TEST(Correct, SeqLock) {
  expect_executions(11, [] {
    SeqLock<> lock;
    parallel([&] { lock.write(1); },
             [&] {
               int first = 0, second = 0;
               if (lock.read(first, second)) INTERLEAVE_EXPECT(first == second);
             });
  });
}

TEST(Correct, SeqLockTwoWrites) {
  expect_executions(39, [] {
    SeqLock<> lock;
    const auto reader = [&] {
      int first = 0, second = 0;
      if (lock.read(first, second)) INTERLEAVE_EXPECT(first == second);
    };
    parallel(
        [&] {
          lock.write(1);
          lock.write(2);
        },
        reader);
  });
}

TEST(Correct, MessagePassing) {
  expect_executions(2, [] {
    atomic<bool> ready{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(42);
          ready.store(true, memory_order_release);
        },
        [&] {
          if (ready.load(memory_order_acquire)) INTERLEAVE_EXPECT(data.get() == 42);
        });
  });
}

TEST(Correct, MessagePassingThroughAChainOfExchanges) {
  expect_executions(5, [] {
    atomic<int> stage{0};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(42);
          stage.store(1, memory_order_release);
        },
        [&] {  // relaxed, yet it continues the release sequence
          int expected = 1;
          stage.compare_exchange_strong(expected, 2, memory_order_relaxed, memory_order_relaxed);
        },
        [&] {
          if (stage.load(memory_order_acquire) == 2) INTERLEAVE_EXPECT(data.get() == 42);
        });
  });
}

TEST(Correct, DoubleCheckedLocking) {
  expect_executions(4, [] {
    atomic<var<int>*> instance{nullptr};
    mutex lock;
    var<int> object = 0;
    const auto get = [&] {
      var<int>* found = instance.load(memory_order_acquire);
      if (found == nullptr) {
        const std::lock_guard guard(lock);
        found = instance.load(memory_order_relaxed);
        if (found == nullptr) {
          object.set(7);
          found = &object;
          instance.store(found, memory_order_release);
        }
      }
      INTERLEAVE_EXPECT(found->get() == 7);
    };
    parallel(get, get);
  });
}

TEST(Correct, SingleProducerRing) {
  expect_executions(15, [] {
    var<int> slots[2] = {0, 0};
    atomic<int> written{0}, read{0};
    parallel(
        [&] {
          for (int item = 1; item <= 3; ++item) {
            const int at = written.load(memory_order_relaxed);
            if (at - read.load(memory_order_acquire) == 2) return;  // full
            slots[at % 2].set(item);
            written.store(at + 1, memory_order_release);
          }
        },
        [&] {
          for (int item = 1; item <= 2; ++item) {
            const int at = read.load(memory_order_relaxed);
            if (written.load(memory_order_acquire) == at) return;  // empty
            INTERLEAVE_EXPECT(slots[at % 2].get() == item);
            read.store(at + 1, memory_order_release);
          }
        });
  });
}

TEST(Correct, NeighbouringBytes) {
  expect_executions(1, [] {
    var<char> bytes[3];
    parallel([&] { bytes[0].set(1); }, [&] { bytes[1].set(2); }, [&] { bytes[2].set(3); });
    INTERLEAVE_EXPECT(bytes[0].get() + bytes[1].get() + bytes[2].get() == 6);
  });
}

TEST(Correct, SenseBarrier) {
  expect_executions(6, [] {  // who arrives in which order; the wait for the sense can end in one way
    atomic<int> missing{3};
    atomic<bool> open{false};
    var<int> written[3] = {0, 0, 0};
    const auto work = [&](int me) {
      written[me].set(1);
      if (missing.fetch_sub(1, memory_order_acq_rel) == 1) {
        open.store(true, memory_order_release);
      } else {
        await(
            open, [](bool value) { return value; }, memory_order_acquire);
      }
      INTERLEAVE_EXPECT(written[0].get() + written[1].get() + written[2].get() == 3);
    };
    parallel([&] { work(0); }, [&] { work(1); }, [&] { work(2); });
  });
}

TEST(Correct, YieldsThatEnd) {
  expect_executions(1, [] {
    for (int i = 0; i < 500; ++i) yield();  // backs off, however long
    const auto deadline = clock::now() + std::chrono::seconds(2000);
    while (clock::now() < deadline) this_thread::sleep_for(std::chrono::seconds(1));
  });
}

}  // namespace
}  // namespace interleave::test
