// Rings and barriers with an order too weak.
#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, RingWrittenRelaxed) {
  expect_wrong(Verdict::race, [] {
    var<int> slot = 0;
    atomic<int> written{0};
    parallel(
        [&] {
          slot.set(1);  // <-- RingWrittenRelaxed
          written.store(1, memory_order_relaxed);
        },
        [&] {
          if (written.load(memory_order_acquire) == 1) slot.get();  // <-- RingWrittenRelaxed
        });
  });
}

// The producer takes the slot back before it knows that the consumer has read it.
TEST(Wrong, RingReadRelaxed) {
  expect_wrong(Verdict::race, [] {
    var<int> slot = 0;
    atomic<int> written{0}, read{0};
    parallel(
        [&] {
          slot.set(1);
          written.store(1, memory_order_release);
          if (read.load(memory_order_acquire) == 1) slot.set(2);  // <-- RingReadRelaxed
        },
        [&] {
          if (written.load(memory_order_acquire) != 1) return;
          slot.get();  // <-- RingReadRelaxed
          read.store(1, memory_order_relaxed);
        });
  });
}

TEST(Wrong, BarrierArrivedRelaxed) {
  expect_wrong(Verdict::race, [] {
    atomic<int> missing{2};
    atomic<bool> open{false};
    var<int> written[2] = {0, 0};
    const auto is_true = [](bool value) { return value; };
    const auto work = [&](int me) {
      written[me].set(1);  // <-- BarrierArrivedRelaxed
      if (missing.fetch_sub(1, memory_order_relaxed) == 1) {
        open.store(true, memory_order_release);
      } else {
        await(open, is_true, memory_order_acquire);
      }
      written[1 - me].get();  // <-- BarrierArrivedRelaxed
    };
    parallel([&] { work(0); }, [&] { work(1); });
  });
}

// A bounded queue whose producers share one cell: they claim it by a counter that orders nothing.
TEST(Wrong, CellClaimedTwice) {
  expect_wrong(Verdict::race, [] {
    constexpr unsigned kCells = 1;
    atomic<unsigned> tail{0};
    var<int> cells[kCells] = {0};
    const auto produce = [&] {
      const unsigned at = tail.fetch_add(1, memory_order_acq_rel);
      cells[at % kCells].set(1);  // <-- CellClaimedTwice
    };
    parallel(produce, produce);
  });
}

// A rundown gate of two words: enter looks at the flag, close looks at the counter, and each misses the
// other.
TEST(Wrong, GateOfFlagAndCounter) {
  expect_wrong(Verdict::race, [] {
    atomic<bool> closed{false};
    atomic<int> inside{0};
    var<int> guarded = 0;
    parallel(
        [&] {
          inside.fetch_add(1, memory_order_acq_rel);
          if (!closed.load(memory_order_acquire)) guarded.get();  // <-- GateOfFlagAndCounter
          inside.fetch_sub(1, memory_order_release);
        },
        [&] {
          closed.store(true, memory_order_release);
          if (inside.load(memory_order_acquire) == 0) guarded.set(-1);  // <-- GateOfFlagAndCounter
        });
  });
}

}  // namespace
}  // namespace interleave::test
