// The queue of Michael and Scott, with the orders to choose. Nodes belong to the caller.
#pragma once

#include "interleave/interleave.h"

namespace interleave::test {

struct QueueNode {
  explicit QueueNode(int v = 0) : value(v) {}
  var<int> value;
  atomic<QueueNode*> next{nullptr};
};

template <memory_order Link = memory_order_release, memory_order Follow = memory_order_acquire>
class MichaelScottQueue {
 public:
  explicit MichaelScottQueue(QueueNode* dummy) : head_(dummy), tail_(dummy) {}

  void enqueue(QueueNode* node) {
    while (true) {
      QueueNode* tail = tail_.load(memory_order_acquire);
      QueueNode* next = tail->next.load(memory_order_acquire);
      if (next == nullptr) {
        if (!tail->next.compare_exchange_strong(next, node, Link, memory_order_relaxed)) continue;
        tail_.compare_exchange_strong(tail, node, memory_order_release, memory_order_relaxed);
        return;
      }
      tail_.compare_exchange_strong(tail, next, memory_order_release, memory_order_relaxed);
    }
  }

  /// The value of the oldest, -1 when there is none.
  int dequeue() {
    while (true) {
      QueueNode* head = head_.load(memory_order_acquire);
      QueueNode* tail = tail_.load(memory_order_acquire);
      QueueNode* next = head->next.load(Follow);  // <-- MichaelScottFreesWhatItDequeues
      if (head == tail) {
        if (next == nullptr) return -1;
        tail_.compare_exchange_strong(tail, next, memory_order_release, memory_order_relaxed);
        continue;
      }
      const int value = next->value.get();  // <-- MichaelScottLinkedRelaxed, MichaelScottFollowedRelaxed
      if (head_.compare_exchange_strong(head, next, memory_order_acq_rel, memory_order_relaxed)) {
        retired = head;
        return value;
      }
    }
  }

  QueueNode* retired = nullptr;  // what the last dequeue took out; for one dequeuing thread

 private:
  atomic<QueueNode*> head_;
  atomic<QueueNode*> tail_;
};

}  // namespace interleave::test
