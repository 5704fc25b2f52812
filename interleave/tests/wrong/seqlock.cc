// A sequence lock whose reader takes half of one write and half of another.
#include "support/seqlock.h"

#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, SeqLockReaderWithoutAFence) {
  expect_wrong(Verdict::assertion, [] {
    SeqLock<memory_order_release, memory_order_release, memory_order_relaxed> lock;
    parallel([&] { lock.write(1); },
             [&] {
               int first = 0, second = 0;
               if (!lock.read(first, second)) return;
               INTERLEAVE_EXPECT(first == second);  // <-- SeqLockReaderWithoutAFence
             });
  });
}

TEST(Wrong, SeqLockWriterWithoutAFence) {
  expect_wrong(Verdict::assertion, [] {
    SeqLock<memory_order_relaxed> lock;
    parallel([&] { lock.write(1); },
             [&] {
               int first = 0, second = 0;
               if (!lock.read(first, second)) return;
               INTERLEAVE_EXPECT(first == second);  // <-- SeqLockWriterWithoutAFence
             });
  });
}

TEST(Wrong, SeqLockEndedRelaxed) {
  expect_wrong(Verdict::assertion, [] {
    SeqLock<memory_order_release, memory_order_relaxed> lock;
    parallel([&] { lock.write(1); },
             [&] {
               int first = 0, second = 0;
               if (!lock.read(first, second)) return;
               INTERLEAVE_EXPECT(first == second);  // <-- SeqLockEndedRelaxed
             });
  });
}

// The words under a sequence lock must be atomic: a reader that finds out afterwards has read all the same.
TEST(Wrong, SeqLockOverPlainData) {
  expect_wrong(Verdict::race, [] {
    atomic<int> sequence{0};
    var<int> data = 0;
    parallel(
        [&] {
          sequence.store(1, memory_order_relaxed);
          interleave::atomic_thread_fence(memory_order_release);
          data.set(1);  // <-- SeqLockOverPlainData
          sequence.store(2, memory_order_release);
        },
        [&] {
          const int before = sequence.load(memory_order_acquire);
          if (before % 2 != 0) return;
          data.get();  // <-- SeqLockOverPlainData
          interleave::atomic_thread_fence(memory_order_acquire);
          (void)(sequence.load(memory_order_relaxed) == before);
        });
  });
}

}  // namespace
}  // namespace interleave::test
