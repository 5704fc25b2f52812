#include "crew.h"

#include <chrono>
#include <thread>
#include <vector>

#include "interrupt.h"
#include "progress.h"

namespace millrace::tool {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{100};

}  // namespace

bool Crew::stopped() const noexcept {
  return interrupted() || stop_.load(std::memory_order_relaxed);
}

std::size_t Crew::take() noexcept {
  if (stopped()) return jobs_;
  const std::size_t job = next_.fetch_add(1, std::memory_order_relaxed);
  return job < jobs_ ? job : jobs_;
}

void Crew::run(int threads, std::uint64_t bytes, bool show_progress, const Work& work) {
  Progress progress(bytes, show_progress);
  std::vector<std::thread> workers;
  workers.reserve(static_cast<std::size_t>(threads));
  running_ = threads;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([this, &work] { run_worker(work); });
  }
  {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, kProgressInterval, [this] { return running_ == 0; })) {
      progress.show(done_bytes());
    }
  }
  for (std::thread& worker : workers) worker.join();
  if (failure_) std::rethrow_exception(failure_);
}

void Crew::run_worker(const Work& work) {
  try {
    work.worker();
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
    stop_.store(true, std::memory_order_relaxed);
    work.stopped();
  }
  const std::lock_guard lock(mutex_);
  --running_;
  ended_.notify_all();
}

}  // namespace millrace::tool
