// Data handed over by a flag, each time with an order, a fence or a release sequence too little.
#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, FlagStoredRelaxed) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> ready{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- FlagStoredRelaxed
          ready.store(true, memory_order_relaxed);
        },
        [&] {
          if (ready.load(memory_order_acquire)) data.get();  // <-- FlagStoredRelaxed
        });
  });
}

TEST(Wrong, FlagLoadedRelaxed) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> ready{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- FlagLoadedRelaxed
          ready.store(true, memory_order_release);
        },
        [&] {
          if (ready.load(memory_order_relaxed)) data.get();  // <-- FlagLoadedRelaxed
        });
  });
}

TEST(Wrong, FlagStoredTooEarly) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> ready{false};
    var<int> data = 0;
    parallel(
        [&] {
          ready.store(true, memory_order_release);
          data.set(1);  // <-- FlagStoredTooEarly
        },
        [&] {
          if (ready.load(memory_order_acquire)) data.get();  // <-- FlagStoredTooEarly
        });
  });
}

TEST(Wrong, ReleaseFenceBehindTheStore) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> ready{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- ReleaseFenceBehindTheStore
          ready.store(true, memory_order_relaxed);
          interleave::atomic_thread_fence(memory_order_release);
        },
        [&] {
          if (ready.load(memory_order_acquire)) data.get();  // <-- ReleaseFenceBehindTheStore
        });
  });
}

TEST(Wrong, AcquireFenceBeforeTheLoad) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> ready{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- AcquireFenceBeforeTheLoad
          ready.store(true, memory_order_release);
        },
        [&] {
          interleave::atomic_thread_fence(memory_order_acquire);
          if (ready.load(memory_order_relaxed)) data.get();  // <-- AcquireFenceBeforeTheLoad
        });
  });
}

// C++11 would have carried the release on through the same thread's next store; C++20 does not.
TEST(Wrong, ReleaseSequenceThroughAStore) {
  expect_wrong(Verdict::race, [] {
    atomic<int> stage{0};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- ReleaseSequenceThroughAStore
          stage.store(1, memory_order_release);
          stage.store(2, memory_order_relaxed);
        },
        [&] {
          if (stage.load(memory_order_acquire) == 2) data.get();  // <-- ReleaseSequenceThroughAStore
        });
  });
}

// The third thread learns of the data from the second, which did not acquire it itself.
TEST(Wrong, ChainWithARelaxedLink) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> first{false}, second{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- ChainWithARelaxedLink
          first.store(true, memory_order_release);
        },
        [&] {
          if (first.load(memory_order_relaxed)) second.store(true, memory_order_release);
        },
        [&] {
          if (second.load(memory_order_acquire)) data.get();  // <-- ChainWithARelaxedLink
        });
  });
}

TEST(Wrong, WaitRelaxed) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> ready{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- WaitRelaxed
          ready.store(true, memory_order_release);
          ready.notify_one();
        },
        [&] {
          ready.wait(false, memory_order_relaxed);
          data.get();  // <-- WaitRelaxed
        });
  });
}

TEST(Wrong, AwaitRelaxed) {
  expect_wrong(Verdict::race, [] {
    const auto is_two = [](int now) { return now == 2; };
    atomic<int> stage{0};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- AwaitRelaxed
          stage.store(2, memory_order_release);
        },
        [&] {
          await(stage, is_two, memory_order_relaxed);
          data.set(2);  // <-- AwaitRelaxed
        });
  });
}

// Each of the two is right about its own flag only; the data's readers need both to be.
TEST(Wrong, TheWrongFlag) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> first{false}, second{false};
    var<int> data = 0;
    parallel(
        [&] {
          data.set(1);  // <-- TheWrongFlag
          first.store(true, memory_order_release);
        },
        [&] { second.store(true, memory_order_release); },
        [&] {
          if (second.load(memory_order_acquire)) data.get();  // <-- TheWrongFlag
        });
  });
}

// Orders that the operation can't have; what a compiler makes of them is its own affair. The compiler may
// know, too.
TEST(Wrong, OrderOfALoadThatStores) {
  volatile auto order = memory_order_release;
  expect_wrong(Verdict::misuse, [&] {
    atomic<int> x{0};
    (void)x.load(order);  // <-- OrderOfALoadThatStores
  });
}

TEST(Wrong, OrderOfAStoreThatLoads) {
  volatile auto order = memory_order_acquire;
  expect_wrong(Verdict::misuse, [&] {
    atomic_flag flag;
    flag.clear(order);  // <-- OrderOfAStoreThatLoads
  });
}

TEST(Wrong, OrderOfAFailureThatStores) {
  volatile auto order = memory_order_release;
  expect_wrong(Verdict::misuse, [&] {
    atomic<int> x{0};
    int expected = 1;
    x.compare_exchange_strong(expected, 2, memory_order_acq_rel, order);  // <-- OrderOfAFailureThatStores
  });
}

}  // namespace
}  // namespace interleave::test
