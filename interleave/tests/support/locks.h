// Locks made of atomics, with the orders to choose.
#pragma once

#include "interleave/interleave.h"

namespace interleave::test {

template <memory_order Enter = memory_order_acquire, memory_order Leave = memory_order_release>
class SpinLock {
 public:
  void lock() {
    while (held_.exchange(true, Enter))
      await(
          held_, [](bool held) { return !held; }, memory_order_relaxed);
  }
  void unlock() { held_.store(false, Leave); }

 private:
  atomic<bool> held_{false};
};

template <memory_order Enter = memory_order_acquire, memory_order Leave = memory_order_release>
class TicketLock {
 public:
  void lock() {
    const int ticket = next_.fetch_add(1, memory_order_relaxed);
    await(
        serving_, [ticket](int serving) { return serving == ticket; }, Enter);
  }
  void unlock() { serving_.store(serving_.load(memory_order_relaxed) + 1, Leave); }

 private:
  atomic<int> next_{0};
  atomic<int> serving_{0};
};

/// Mellor-Crummey and Scott's.
template <memory_order Enter = memory_order_acquire, memory_order Leave = memory_order_release>
class McsLock {
 public:
  struct Node {
    atomic<Node*> next{nullptr};
    atomic<bool> locked{false};
  };

  void lock(Node& node) {
    Node* before = tail_.exchange(&node, memory_order_acq_rel);
    if (before == nullptr) return;
    node.locked.store(true, memory_order_relaxed);
    before->next.store(&node, memory_order_release);
    await(
        node.locked, [](bool locked) { return !locked; }, Enter);
  }
  void unlock(Node& node) {
    Node* next = node.next.load(memory_order_acquire);
    if (next == nullptr) {
      Node* expected = &node;
      if (tail_.compare_exchange_strong(expected, nullptr, memory_order_release, memory_order_relaxed))
        return;
      next = await(
          node.next, [](Node* successor) { return successor != nullptr; }, memory_order_acquire);
    }
    next->locked.store(false, Leave);
  }

 private:
  atomic<Node*> tail_{nullptr};
};

/// Bit 0: a writer; the rest counts readers, by twos. Neither waits.
template <memory_order ReaderLeaves = memory_order_release>
class ReadersWriterLock {
 public:
  bool try_read() {
    if (word_.fetch_add(2, memory_order_acquire) % 2 == 0) return true;
    word_.fetch_sub(2, memory_order_relaxed);
    return false;
  }
  void end_read() { word_.fetch_sub(2, ReaderLeaves); }
  bool try_write() {
    int free = 0;
    return word_.compare_exchange_strong(free, 1, memory_order_acquire, memory_order_relaxed);
  }
  void end_write() { word_.fetch_sub(1, memory_order_release); }

 private:
  atomic<int> word_{0};
};

/// Peterson's for two, as a try: gives up where it would wait.
template <memory_order Load, memory_order Store>
class Peterson {
 public:
  bool try_lock(int me) {
    flag_[me].store(true, Store);
    turn_.store(1 - me, Store);
    return !flag_[1 - me].load(Load) || turn_.load(Load) == me;
  }
  void unlock(int me) { flag_[me].store(false, Store); }

 private:
  atomic<bool> flag_[2] = {false, false};
  atomic<int> turn_{0};
};

}  // namespace interleave::test
