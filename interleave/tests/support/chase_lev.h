// The deque of Chase and Lev as Lê et al. (PPoPP'13) order it, without growing; the fences to choose.
#pragma once

#include "interleave/interleave.h"

namespace interleave::test {

inline constexpr int kEmpty = -1;
inline constexpr int kAborted = -2;

template <memory_order Take = memory_order_seq_cst, memory_order Steal = memory_order_seq_cst,
          memory_order Push = memory_order_release>
class ChaseLevDeque {
 public:
  void push(int value) {
    const int bottom = bottom_.load(memory_order_relaxed);
    (void)top_.load(memory_order_acquire);  // where it would grow
    buffer_[bottom].store(value, memory_order_relaxed);
    interleave::atomic_thread_fence(Push);
    bottom_.store(bottom + 1, memory_order_relaxed);
  }

  int take() {
    const int bottom = bottom_.load(memory_order_relaxed) - 1;
    bottom_.store(bottom, memory_order_relaxed);
    interleave::atomic_thread_fence(Take);
    int top = top_.load(memory_order_relaxed);
    if (top > bottom) {
      bottom_.store(bottom + 1, memory_order_relaxed);
      return kEmpty;
    }
    int value = buffer_[bottom].load(memory_order_relaxed);
    if (top == bottom) {
      if (!top_.compare_exchange_strong(top, top + 1, memory_order_seq_cst, memory_order_relaxed)) {
        value = kEmpty;
      }
      bottom_.store(bottom + 1, memory_order_relaxed);
    }
    return value;
  }

  int steal() {
    int top = top_.load(memory_order_acquire);
    interleave::atomic_thread_fence(Steal);
    const int bottom = bottom_.load(memory_order_acquire);
    if (top >= bottom) return kEmpty;
    const int value = buffer_[top].load(memory_order_relaxed);
    if (!top_.compare_exchange_strong(top, top + 1, memory_order_seq_cst, memory_order_relaxed)) {
      return kAborted;
    }
    return value;
  }

 private:
  atomic<int> top_{0};
  atomic<int> bottom_{0};
  atomic<int> buffer_[4] = {0, 0, 0, 0};
};

}  // namespace interleave::test
