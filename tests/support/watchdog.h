// A limit on how long a test may take, so that a hang is a failure with a name.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace millrace::test {

/// Ends the process with a message when its scope takes longer than the limit: threads that hang can't
/// be ended one by one.
class Watchdog {
 public:
  explicit Watchdog(std::string what, std::chrono::seconds limit = std::chrono::seconds(120))
      : what_(std::move(what)), thread_([this, limit] { watch(limit); }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    ended_.notify_all();
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void watch(std::chrono::seconds limit) {
    std::unique_lock lock(mutex_);
    // Against the system's clock: what ThreadSanitizer of GCC 12 understands of timed waits.
    const auto deadline = std::chrono::system_clock::now() + limit;
    if (ended_.wait_until(lock, deadline, [this] { return done_; })) return;
    std::fprintf(stderr, "HANG: %s has taken more than %lld s\n", what_.c_str(),
                 static_cast<long long>(limit.count()));
    std::fflush(nullptr);
    std::abort();
  }

  const std::string what_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace millrace::test
