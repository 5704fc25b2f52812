// Shared ownership whose count the model checker can see.
#pragma once

#include <cstdint>
#include <utility>

#include "sync/atomic.h"

namespace millrace::sync {

/// Base of objects that several parties keep alive; starts with one reference.
///
/// Invariants (docs/concurrency.md):
///   R1  The object is destroyed by whoever drops the last reference, after everything that was done
///       with it through any other.
///
/// Thread safety: all members from any thread that holds a reference.
class RefCounted {
 public:
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void add_ref() const noexcept {
    // relaxed: the caller has a reference, so the object is alive and nothing is published.
    count_.fetch_add(1, std::memory_order_relaxed);
  }
  void drop_ref() const noexcept {
    // acq_rel: release so that our use happens before the destruction, acquire so that the last one
    // sees everybody's (R1); pairs with itself.
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  RefCounted() = default;
  virtual ~RefCounted() = default;

 private:
  mutable atomic<std::uint32_t> count_{1};
};

/// A reference to a RefCounted. Thread safety: as a raw pointer.
template <typename T>
class Ref {
 public:
  Ref() = default;
  /// Takes over the reference that the caller holds.
  static Ref adopt(T* object) noexcept { return Ref(object); }
  /// A reference of its own.
  static Ref share(T* object) noexcept {
    if (object != nullptr) object->add_ref();
    return Ref(object);
  }
  Ref(const Ref& other) noexcept : object_(other.object_) {
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete): the analyzer takes any drop for the last one
    if (object_ != nullptr) object_->add_ref();
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  // Two operators, not one that takes a value: clang 14 does not destroy that in templates (`ref = {}`).
  // NOLINTNEXTLINE(bugprone-unhandled-self-assignment): copied first, then swapped
  Ref& operator=(const Ref& other) noexcept {
    Ref taken(other);
    std::swap(object_, taken.object_);
    return *this;
  }
  Ref& operator=(Ref&& other) noexcept {
    Ref taken(std::move(other));
    std::swap(object_, taken.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) object_->drop_ref();
  }

  T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  /// Hands the reference to the caller.
  [[nodiscard]] T* release() noexcept { return std::exchange(object_, nullptr); }

 private:
  explicit Ref(T* object) noexcept : object_(object) {}
  T* object_ = nullptr;
};

template <typename T, typename... Args>
Ref<T> make_ref(Args&&... args) {
  return Ref<T>::adopt(new T(std::forward<Args>(args)...));
}

}  // namespace millrace::sync
