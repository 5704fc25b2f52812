// Threads that share a list of jobs, with a progress bar.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

namespace millrace::tool {

/// Jobs are numbers, taken in order; what a job is, the workers know.
///
/// Thread safety: take, done and done_bytes from any thread; run once, by one.
class Crew {
 public:
  explicit Crew(std::size_t jobs) : jobs_(jobs) {}
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  std::size_t jobs() const noexcept { return jobs_; }

  /// The next job; jobs() when there is none and when stopped().
  std::size_t take() noexcept;
  /// After interrupted() and after a failure.
  bool stopped() const noexcept;
  void done(std::uint64_t bytes) noexcept { done_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  std::uint64_t done_bytes() const noexcept { return done_bytes_.load(std::memory_order_relaxed); }

  struct Work {
    std::function<void()> worker;   ///< run by every thread; takes jobs until there are none
    std::function<void()> stopped;  ///< called after a worker threw: wakes the others if they wait
  };
  /// Returns when all have ended; throws the first failure. bytes: of all jobs, for the bar.
  void run(int threads, std::uint64_t bytes, bool show_progress, const Work& work);

 private:
  void run_worker(const Work& work);

  const std::size_t jobs_;
  // relaxed throughout: jobs are independent, and results are handed over by a mutex or the joins.
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint64_t> done_bytes_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;               // protects what follows
  std::condition_variable ended_;  // running_ changed
  int running_ = 0;
  std::exception_ptr failure_;
};

}  // namespace millrace::tool
