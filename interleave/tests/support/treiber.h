// Treiber's stack, with the orders to choose. Nodes belong to the caller unless Reclaim.
#pragma once

#include "interleave/interleave.h"

namespace interleave::test {

struct TreiberNode {
  explicit TreiberNode(int v) : value(v) {}
  var<int> value;
  var<TreiberNode*> next{nullptr};
};

template <memory_order Publish = memory_order_release, memory_order Take = memory_order_acquire>
class TreiberStack {
 public:
  void push(TreiberNode* node) {
    TreiberNode* head = head_.load(memory_order_relaxed);
    do {
      node->next.set(head);  // <-- TreiberPublishedRelaxed, TreiberTakenRelaxed
    } while (!head_.compare_exchange_weak(head, node, Publish, memory_order_relaxed));
  }

  /// Null when it is empty.
  TreiberNode* pop() {
    TreiberNode* head = head_.load(Take);
    while (head != nullptr) {
      TreiberNode* next = head->next.get();  // <-- TreiberPublishedRelaxed, TreiberTakenRelaxed, TreiberFreesWhatItPops
      if (head_.compare_exchange_weak(head, next, Take, Take)) return head;
    }
    return nullptr;
  }

 private:
  atomic<TreiberNode*> head_{nullptr};
};

}  // namespace interleave::test
