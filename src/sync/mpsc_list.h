// A list that any thread pushes to and one at a time empties.
#pragma once

#include "sync/atomic.h"

namespace millrace::sync {

/// Nodes that link themselves: T has a member `T* next`. The list owns nothing.
///
/// Taking is one exchange of the whole list. Popping single nodes would need a compare-exchange on
/// (head, head->next), which breaks when head is popped and pushed again in between (ABA).
///
/// Invariants (docs/concurrency.md):
///   L1  A node pushed is taken exactly once.
///   L2  What happened before a push happened before the take that returns the node.
///
/// Thread safety: all members from any thread; a node belongs to the list from push to take.
template <typename T>
class MpscList {
 public:
  /// Adds first..last, already linked through next, in one step.
  void push_chain(T* first, T* last) noexcept {
    // relaxed: the compare-exchange below decides.
    T* head = head_.load(std::memory_order_relaxed);
    do {
      last->next = head;
      // release: pairs with the acquire in take_all (L2). A push in between is carried on by the
      // release sequence, since each push is a read-modify-write.
    } while (!head_.compare_exchange_weak(head, first, std::memory_order_release, std::memory_order_relaxed));
  }
  void push(T* node) noexcept { push_chain(node, node); }

  /// The whole list, the newest first; null when empty. Empties it.
  [[nodiscard]] T* take_all() noexcept {
    // relaxed: a hint that saves the exchange; an element missed is taken next time.
    if (head_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    // acquire: pairs with the release in push_chain (L2).
    return head_.exchange(nullptr, std::memory_order_acquire);
  }

  bool empty() const noexcept {
    // relaxed: a hint.
    return head_.load(std::memory_order_relaxed) == nullptr;
  }

 private:
  atomic<T*> head_{nullptr};
};

}  // namespace millrace::sync
