// A sequence lock over two words (Boehm, MSPC'12), with the fences and the last store's order to choose.
#pragma once

#include "interleave/interleave.h"

namespace interleave::test {

template <memory_order Begin = memory_order_release, memory_order End = memory_order_release,
          memory_order Check = memory_order_acquire>
class SeqLock {
 public:
  /// One writer at a time.
  void write(int value) {
    const int sequence = sequence_.load(memory_order_relaxed);
    sequence_.store(sequence + 1, memory_order_relaxed);
    if (Begin != memory_order_relaxed) interleave::atomic_thread_fence(Begin);
    first_.store(value, memory_order_relaxed);
    second_.store(value, memory_order_relaxed);
    sequence_.store(sequence + 2, End);
  }

  /// False when a writer was in the way.
  bool read(int& first, int& second) {
    const int sequence = sequence_.load(memory_order_acquire);
    if (sequence % 2 != 0) return false;
    first = first_.load(memory_order_relaxed);
    second = second_.load(memory_order_relaxed);
    if (Check != memory_order_relaxed) interleave::atomic_thread_fence(Check);
    return sequence_.load(memory_order_relaxed) == sequence;
  }

 private:
  atomic<int> sequence_{0};
  atomic<int> first_{0};
  atomic<int> second_{0};
};

}  // namespace interleave::test
