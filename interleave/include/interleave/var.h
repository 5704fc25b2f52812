// Plain data that threads share, checked for races without the compiler's instrumentation.
#pragma once

#include <utility>

#include "interleave/detail/runtime.h"

namespace interleave {

/// A T whose reads and writes are checked: two that conflict and are not ordered are a race.
///
/// Thread safety: that is what it checks.
template <typename T>
class var {
 public:
  var(Where where = Where::current()) : value_() { written(where); }  // NOLINT: as a plain T
  var(T value, Where where = Where::current()) : value_(std::move(value)) { written(where); }  // NOLINT
  var(const var& other) : value_(other.get()) { written({}); }
  var& operator=(const var& other) {
    set(other.get());
    return *this;
  }
  ~var() { detail::plain_destroy(&value_, sizeof(T)); }

  const T& get(Where where = Where::current()) const {
    detail::plain_read(&value_, sizeof(T), where);
    return value_;
  }
  void set(T value, Where where = Where::current()) {
    written(where);
    value_ = std::move(value);
  }
  operator const T&() const { return get({}); }  // NOLINT: as a plain T
  var& operator=(T value) {
    set(std::move(value), {});
    return *this;
  }
  /// For changing in place; counts as a write.
  T& access(Where where = Where::current()) {
    written(where);
    return value_;
  }

 private:
  void written(Where where) { detail::plain_write(&value_, sizeof(T), where); }
  T value_;
};

}  // namespace interleave
