// std::atomic, with every value that the memory model lets a load return.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "interleave/detail/runtime.h"

namespace interleave {

using std::memory_order;
using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_consume;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;

namespace detail {

template <typename T>
std::uint64_t to_bits(const T& value) noexcept {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T from_bits(std::uint64_t bits) noexcept {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

constexpr std::memory_order failure_order(std::memory_order success) noexcept {
  if (success == std::memory_order_acq_rel) return std::memory_order_acquire;
  if (success == std::memory_order_release) return std::memory_order_relaxed;
  return success;
}

}  // namespace detail

template <typename T>
class atomic;

/// Loads until the condition holds for the value, which it returns: `while (!condition(a.load(order))) {}` as
/// one operation, so that runs in which the loop goes round in vain need not be explored. The condition must
/// depend on the value alone. A thread for which nobody stores such a value is stuck: a livelock.
///
/// Outside a run it loads once, and the condition must hold.
/// Thread safety: any thread.
template <typename T, typename Condition>
T await(const atomic<T>& object, Condition condition, memory_order order = memory_order_seq_cst,
        Where where = Where::current());

/// std::atomic<T> for trivially copyable T of up to 8 bytes. The weak compare-exchange fails only where the
/// strong one does.
///
/// Constant initialisation is possible, so that objects of static storage are there before every run; what
/// runs do to them ends with the run. Outside a run it is a plain value.
///
/// Thread safety: all members from any thread; that construction and destruction do not overlap with use is
/// checked.
template <typename T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "interleave::atomic: up to 8 plain bytes");

 public:
  using value_type = T;
  using difference_type = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;
  static constexpr bool is_always_lock_free = true;

  constexpr atomic(Where where = Where::current()) noexcept : atomic(T{}, where) {}     // NOLINT: as std's
  constexpr atomic(T value, Where where = Where::current()) noexcept : value_(value) {  // NOLINT: as std's
    if (!std::is_constant_evaluated()) detail::construct(cell_, where);
  }
  constexpr ~atomic() {
    if (!std::is_constant_evaluated()) detail::destroy(cell_, {});
  }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  bool is_lock_free() const noexcept { return true; }

  T load(memory_order order = memory_order_seq_cst, Where where = Where::current()) const {
    return detail::from_bits<T>(detail::load(cell_, initial(), order, where));
  }
  void store(T value, memory_order order = memory_order_seq_cst, Where where = Where::current()) {
    if (!detail::store(cell_, initial(), detail::to_bits(value), order, where)) value_ = value;
  }
  T exchange(T value, memory_order order = memory_order_seq_cst, Where where = Where::current()) {
    return modify(detail::Rmw::exchange, detail::to_bits(value), order, where);
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order success, memory_order failure,
                               Where where = Where::current()) {
    const std::uint64_t wanted = detail::to_bits(expected);
    const std::uint64_t seen =
        detail::compare_exchange(cell_, initial(), wanted, detail::to_bits(desired), success, failure, where);
    if (seen == wanted) {
      if (!detail::running()) value_ = desired;
      return true;
    }
    expected = detail::from_bits<T>(seen);
    return false;
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order order = memory_order_seq_cst,
                               Where where = Where::current()) {
    return compare_exchange_strong(expected, desired, order, detail::failure_order(order), where);
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order success, memory_order failure,
                             Where where = Where::current()) {
    return compare_exchange_strong(expected, desired, success, failure, where);
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order order = memory_order_seq_cst,
                             Where where = Where::current()) {
    return compare_exchange_strong(expected, desired, order, detail::failure_order(order), where);
  }

  T fetch_add(difference_type value, memory_order order = memory_order_seq_cst,
              Where where = Where::current()) requires((std::is_arithmetic_v<T> &&
                                                        !std::is_same_v<T, bool>) ||
                                                       std::is_pointer_v<T>) {
    return modify(floating(detail::Rmw::add, detail::Rmw::add_float, detail::Rmw::add_double), step(value),
                  order, where);
  }
  T fetch_sub(difference_type value, memory_order order = memory_order_seq_cst,
              Where where = Where::current()) requires((std::is_arithmetic_v<T> &&
                                                        !std::is_same_v<T, bool>) ||
                                                       std::is_pointer_v<T>) {
    return modify(floating(detail::Rmw::subtract, detail::Rmw::sub_float, detail::Rmw::sub_double),
                  step(value), order, where);
  }
  T fetch_and(T value, memory_order order = memory_order_seq_cst,
              Where where = Where::current()) requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    return modify(detail::Rmw::bit_and, detail::to_bits(value), order, where);
  }
  T fetch_or(T value, memory_order order = memory_order_seq_cst,
             Where where = Where::current()) requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    return modify(detail::Rmw::bit_or, detail::to_bits(value), order, where);
  }
  T fetch_xor(T value, memory_order order = memory_order_seq_cst,
              Where where = Where::current()) requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    return modify(detail::Rmw::bit_xor, detail::to_bits(value), order, where);
  }

  void wait(T old, memory_order order = memory_order_seq_cst, Where where = Where::current()) const {
    detail::atomic_wait(cell_, initial(), detail::to_bits(old), order, where);
  }
  void notify_one(Where where = Where::current()) { detail::atomic_notify(cell_, false, where); }
  void notify_all(Where where = Where::current()) { detail::atomic_notify(cell_, true, where); }

  operator T() const { return load(); }  // NOLINT: as std's
  T operator=(T value) {                 // NOLINT: as std's
    store(value);
    return value;
  }
  T operator++() requires requires(atomic a) { a.fetch_add(1); }
  { return *this += 1; }
  T operator++(int) requires requires(atomic a) { a.fetch_add(1); }
  { return fetch_add(1); }
  T operator--() requires requires(atomic a) { a.fetch_sub(1); }
  { return *this -= 1; }
  T operator--(int) requires requires(atomic a) { a.fetch_sub(1); }
  { return fetch_sub(1); }
  T operator+=(difference_type value) requires requires(atomic a, difference_type d) { a.fetch_add(d); }
  {
    return added(fetch_add(value), detail::Rmw::add, detail::Rmw::add_float, detail::Rmw::add_double, value);
  }
  T operator-=(difference_type value) requires requires(atomic a, difference_type d) { a.fetch_sub(d); }
  {
    return added(fetch_sub(value), detail::Rmw::subtract, detail::Rmw::sub_float, detail::Rmw::sub_double,
                 value);
  }
  T operator&=(T value) requires requires(atomic a) { a.fetch_and(T{}); }
  { return static_cast<T>(fetch_and(value) & value); }
  T operator|=(T value) requires requires(atomic a) { a.fetch_or(T{}); }
  { return static_cast<T>(fetch_or(value) | value); }
  T operator^=(T value) requires requires(atomic a) { a.fetch_xor(T{}); }
  { return static_cast<T>(fetch_xor(value) ^ value); }

 private:
  template <typename U, typename Condition>
  friend U await(const atomic<U>&, Condition, memory_order, Where);

  std::uint64_t initial() const noexcept { return detail::to_bits(value_); }

  static constexpr detail::Rmw floating(detail::Rmw integral, detail::Rmw single,
                                        detail::Rmw twice) noexcept {
    if constexpr (!std::is_floating_point_v<T>) return integral;
    return sizeof(T) == sizeof(float) ? single : twice;
  }
  static std::uint64_t step(difference_type value) noexcept {
    if constexpr (std::is_pointer_v<T>) {
      return static_cast<std::uint64_t>(value) * sizeof(std::remove_pointer_t<T>);
    } else {
      return detail::to_bits(value);
    }
  }
  /// What the addition to old has stored; signed numbers wrap.
  static T added(T old, detail::Rmw integral, detail::Rmw single, detail::Rmw twice,
                 difference_type value) noexcept {
    const detail::Modify how{floating(integral, single, twice), sizeof(T), step(value)};
    return detail::from_bits<T>(detail::modify_value(how, detail::to_bits(old)));
  }
  T modify(detail::Rmw what, std::uint64_t operand, memory_order order, Where where) {
    const detail::Modify how{what, sizeof(T), operand};
    const std::uint64_t old = detail::modify(cell_, initial(), how, order, where);
    if (!detail::running()) value_ = detail::from_bits<T>(detail::modify_value(how, old));
    return detail::from_bits<T>(old);
  }

  detail::Cell cell_;
  T value_;
};

/// std::atomic_flag.
///
/// Thread safety: all members from any thread.
class atomic_flag {
 public:
  constexpr atomic_flag(Where where = Where::current()) noexcept  // NOLINT: as std's
      : value_(false, where) {}

  bool test(memory_order order = memory_order_seq_cst, Where where = Where::current()) const {
    return value_.load(order, where);
  }
  bool test_and_set(memory_order order = memory_order_seq_cst, Where where = Where::current()) {
    return value_.exchange(true, order, where);
  }
  void clear(memory_order order = memory_order_seq_cst, Where where = Where::current()) {
    value_.store(false, order, where);
  }
  void wait(bool old, memory_order order = memory_order_seq_cst, Where where = Where::current()) const {
    value_.wait(old, order, where);
  }
  void notify_one(Where where = Where::current()) { value_.notify_one(where); }
  void notify_all(Where where = Where::current()) { value_.notify_all(where); }

 private:
  atomic<bool> value_;
};

inline void atomic_thread_fence(memory_order order, Where where = Where::current()) {
  detail::fence(order, where);
}
/// Orders a thread with its own signal handlers, which runs have none of.
inline void atomic_signal_fence(memory_order) noexcept {}

template <typename T, typename Condition>
T await(const atomic<T>& object, Condition condition, memory_order order, Where where) {
  const detail::Predicate holds = [](const void* context, std::uint64_t value) -> bool {
    return (*static_cast<const Condition*>(context))(detail::from_bits<T>(value));
  };
  return detail::from_bits<T>(detail::await(object.cell_, object.initial(), detail::Want::by_code, 0, holds,
                                            &condition, order, where));
}

}  // namespace interleave
