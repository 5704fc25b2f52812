// Results that threads find in any order, used in the order of the jobs they belong to.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace millrace::tool {

/// What is put in for job n is used once everything before n was: sums come out the same whoever was
/// faster, and what was used when an interruption comes is the beginning of the list, without holes.
///
/// Thread safety: any thread. Jobs are counted from 0, each put once. use is called by one thread at a time,
/// with the lock held, and must not call back.
template <typename Result>
class InOrder {
 public:
  using Use = std::function<void(std::size_t job, Result& result)>;

  /// ahead: how many results may wait, which bounds their memory; at least 1.
  InOrder(std::size_t ahead, Use use) : waiting_(ahead), use_(std::move(use)) {}

  /// Waits while the job is too far ahead of the first one that is missing. Whoever has that one does not
  /// wait, so there is always one thread that goes on. After stop() nothing is kept.
  void put(std::size_t job, Result result) {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [&] { return stopped_ || job - next_ < waiting_.size(); });
    if (stopped_) return;
    slot(job) = std::move(result);
    if (job != next_) return;
    for (; slot(next_); ++next_) {
      use_(next_, *slot(next_));
      slot(next_).reset();
    }
    moved_.notify_all();
  }

  /// Ends all waiting: a result will not come.
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    moved_.notify_all();
  }

 private:
  std::optional<Result>& slot(std::size_t job) { return waiting_[job % waiting_.size()]; }

  std::mutex mutex_;               // protects all of it
  std::condition_variable moved_;  // next_ or stopped_ changed
  std::vector<std::optional<Result>> waiting_;
  std::size_t next_ = 0;
  bool stopped_ = false;
  Use use_;
};

}  // namespace millrace::tool
