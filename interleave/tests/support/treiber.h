// Treiber's stack, with the orders and the node's type to choose. Nodes belong to the caller.
#pragma once

#include "interleave/interleave.h"

namespace interleave::test {

struct TreiberNode {
  explicit TreiberNode(int v) : value(v) {}
  var<int> value;
  var<TreiberNode*> next{nullptr};
};

/// The same with a next that may be read while the node is on another stack: what ABA needs to be seen.
struct TreiberReusedNode {
  struct Next {
    TreiberReusedNode* get() const { return pointer.load(memory_order_relaxed); }
    void set(TreiberReusedNode* node) { pointer.store(node, memory_order_relaxed); }
    atomic<TreiberReusedNode*> pointer{nullptr};
  };
  Next next;
};

template <memory_order Publish = memory_order_release, memory_order Take = memory_order_acquire,
          typename Node = TreiberNode>
class TreiberStack {
 public:
  void push(Node* node) {
    Node* head = head_.load(memory_order_relaxed);
    do {
      node->next.set(head);  // <-- TreiberPublishedRelaxed, TreiberTakenRelaxed
    } while (!head_.compare_exchange_weak(head, node, Publish, memory_order_relaxed));
  }

  /// Null when it is empty.
  Node* pop() {
    Node* head = head_.load(Take);
    while (head != nullptr) {
      Node* next =
          head->next.get();  // <-- TreiberPublishedRelaxed, TreiberTakenRelaxed, TreiberFreesWhatItPops
      if (head_.compare_exchange_weak(head, next, Take, Take)) return head;
    }
    return nullptr;
  }

 private:
  atomic<Node*> head_{nullptr};
};

}  // namespace interleave::test
