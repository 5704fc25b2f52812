// A queue of objects that link themselves, so that moving work along never allocates.
#pragma once

#include <utility>

namespace millrace {

/// T has a member `T* next`. The queue owns nothing.
///
/// Thread safety: one thread at a time.
template <typename T>
class Fifo {
 public:
  Fifo() = default;
  Fifo(Fifo&& other) noexcept
      : head_(std::exchange(other.head_, nullptr)), tail_(std::exchange(other.tail_, nullptr)) {}
  Fifo& operator=(Fifo&& other) noexcept {
    std::swap(head_, other.head_);
    std::swap(tail_, other.tail_);
    return *this;
  }

  bool empty() const noexcept { return head_ == nullptr; }
  /// Null when empty.
  T* front() const noexcept { return head_; }
  T* back() const noexcept { return tail_; }

  void push_back(T* item) noexcept {
    item->next = nullptr;
    (tail_ == nullptr ? head_ : tail_->next) = item;
    tail_ = item;
  }
  /// Only when not empty.
  T* pop_front() noexcept {
    T* const item = head_;
    head_ = item->next;
    if (head_ == nullptr) tail_ = nullptr;
    item->next = nullptr;
    return item;
  }
  /// Of items that were made with new and are the queue's.
  void delete_all() noexcept {
    while (!empty()) delete pop_front();
  }
  /// Moves all of other to the end.
  void append(Fifo&& other) noexcept {
    if (other.empty()) return;
    (tail_ == nullptr ? head_ : tail_->next) = other.head_;
    tail_ = other.tail_;
    other.head_ = other.tail_ = nullptr;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

}  // namespace millrace
