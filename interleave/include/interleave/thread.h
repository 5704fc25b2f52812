// std::thread and std::jthread, run by the checker.
#pragma once

#include <chrono>
#include <compare>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "interleave/atomic.h"
#include "interleave/clock.h"
#include "interleave/detail/runtime.h"

namespace interleave {

/// Makes a thread of the run it is constructed in; there is none outside of runs (misuse). Throws
/// std::system_error where fail_threads says so.
///
/// Thread safety: one thread at a time.
class thread {
 public:
  /// Thread safety: a value.
  class id {
   public:
    id() noexcept = default;
    auto operator<=>(const id&) const noexcept = default;

   private:
    friend class thread;
    friend id this_thread_id() noexcept;
    explicit id(unsigned number) noexcept : number_(number) {}
    unsigned number_ = ~0U;
  };

  thread() noexcept = default;
  template <typename F, typename... Arguments>
  requires(!std::is_same_v<std::remove_cvref_t<F>, thread> &&
           !std::is_same_v<std::remove_cvref_t<F>, Where>) explicit thread(F&& function,
                                                                           Arguments&&... arguments)
      : thread(Where::current(), std::forward<F>(function), std::forward<Arguments>(arguments)...) {}
  /// With the line that reports show.
  template <typename F, typename... Arguments>
  thread(Where where, F&& function, Arguments&&... arguments) {
    using Closure = std::tuple<std::decay_t<F>, std::decay_t<Arguments>...>;
    // The run's memory, but not the test's: it goes with the run.
    void* room = detail::closure_room(sizeof(Closure), alignof(Closure), where);
    struct Destroy {
      void operator()(Closure* closure) const { std::destroy_at(closure); }
    };
    using Owner = std::unique_ptr<Closure, Destroy>;
    Owner closure(new (room) Closure(std::forward<F>(function), std::forward<Arguments>(arguments)...));
    number_ = detail::thread_start(
        [](void* raw) {
          const Owner mine(static_cast<Closure*>(raw));
          std::apply([](auto&&... part) { std::invoke(std::move(part)...); }, std::move(*mine));
        },
        closure.get(), where);
    static_cast<void>(closure.release());  // the thread's
  }
  thread(thread&& other) noexcept : number_(std::exchange(other.number_, kNone)) {}
  thread& operator=(thread&& other) noexcept {
    if (joinable()) std::terminate();
    number_ = std::exchange(other.number_, kNone);
    return *this;
  }
  ~thread() {
    if (joinable()) std::terminate();
  }

  bool joinable() const noexcept { return number_ != kNone; }
  void join(Where where = Where::current()) { detail::thread_join(std::exchange(number_, kNone), where); }
  void detach(Where where = Where::current()) { detail::thread_detach(std::exchange(number_, kNone), where); }
  id get_id() const noexcept { return id(number_); }
  void swap(thread& other) noexcept { std::swap(number_, other.number_); }
  static unsigned hardware_concurrency() noexcept { return 2; }

 private:
  static constexpr unsigned kNone = ~0U;
  unsigned number_ = kNone;
};

inline thread::id this_thread_id() noexcept {
  return thread::id(detail::thread_self());
}

namespace this_thread {
inline thread::id get_id() noexcept {
  return this_thread_id();
}
/// In a loop that waits: nothing is lost by not going round again until another thread has stored something
/// that the loop reads, so it does not.
inline void yield(Where where = Where::current()) {
  detail::thread_yield(where);
}
template <typename Rep, typename Period>
void sleep_for(std::chrono::duration<Rep, Period> time, Where where = Where::current()) {
  detail::clock_reached(clock::after(time).time_since_epoch().count());
  detail::thread_yield(where);
}
inline void sleep_until(clock::time_point when, Where where = Where::current()) {
  detail::clock_reached(when.time_since_epoch().count());
  detail::thread_yield(where);
}
}  // namespace this_thread

using this_thread::yield;

/// std::stop_token without callbacks.
///
/// Thread safety: any thread.
class stop_token {
 public:
  stop_token() noexcept = default;
  bool stop_requested() const { return state_ && state_->load(memory_order_acquire); }
  bool stop_possible() const noexcept { return state_ != nullptr; }

 private:
  friend class stop_source;
  explicit stop_token(std::shared_ptr<atomic<bool>> state) noexcept : state_(std::move(state)) {}
  std::shared_ptr<atomic<bool>> state_;
};

/// Thread safety: any thread.
class stop_source {
 public:
  stop_source() : state_(std::make_shared<atomic<bool>>(false)) {}
  bool request_stop() { return !state_->exchange(true, memory_order_acq_rel); }
  bool stop_requested() const { return state_->load(memory_order_acquire); }
  stop_token get_token() const noexcept { return stop_token(state_); }

 private:
  std::shared_ptr<atomic<bool>> state_;
};

/// Joins in its destructor, after it has asked the function to stop if that takes a stop_token first.
///
/// Thread safety: one thread at a time.
class jthread {
 public:
  jthread() noexcept = default;
  template <typename F, typename... Arguments>
  requires(!std::is_same_v<std::remove_cvref_t<F>, jthread>) explicit jthread(F&& function,
                                                                              Arguments&&... arguments) {
    if constexpr (std::is_invocable_v<std::decay_t<F>, stop_token, std::decay_t<Arguments>...>) {
      stop_ = std::make_unique<stop_source>();
      thread_ = thread(std::forward<F>(function), stop_->get_token(), std::forward<Arguments>(arguments)...);
    } else {
      thread_ = thread(std::forward<F>(function), std::forward<Arguments>(arguments)...);
    }
  }
  jthread(jthread&&) noexcept = default;
  jthread& operator=(jthread&& other) noexcept {
    end();
    stop_ = std::move(other.stop_);
    thread_ = std::move(other.thread_);
    return *this;
  }
  ~jthread() { end(); }

  bool joinable() const noexcept { return thread_.joinable(); }
  void join(Where where = Where::current()) { thread_.join(where); }
  void detach(Where where = Where::current()) { thread_.detach(where); }
  thread::id get_id() const noexcept { return thread_.get_id(); }
  bool request_stop() { return stop_ && stop_->request_stop(); }
  stop_token get_stop_token() const noexcept { return stop_ ? stop_->get_token() : stop_token(); }

 private:
  void end() {
    if (!thread_.joinable()) return;
    request_stop();
    thread_.join();
  }

  std::unique_ptr<stop_source> stop_;
  thread thread_;
};

}  // namespace interleave
