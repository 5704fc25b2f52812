// Work that stays running until the test says so.
#pragma once

#include <millrace/device.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace millrace::test {

/// Holds whatever is recorded on a stream after hold(): committed, but not done before open().
///
/// Thread safety: any thread. The task shares the state, so the gate may go before the task has run.
class StreamHold {
 public:
  explicit StreamHold(Stream stream) : state_(std::make_shared<State>()) {
    stream.run("hold", [state = state_] { state->wait(); });
    stream.commit();
  }
  ~StreamHold() { open(); }
  StreamHold(const StreamHold&) = delete;
  StreamHold& operator=(const StreamHold&) = delete;

  void open() {
    {
      const std::lock_guard lock(state_->mutex);
      state_->opened = true;
    }
    state_->changed.notify_all();
  }

 private:
  struct State {
    void wait() {
      std::unique_lock lock(mutex);
      const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(60);
      if (!changed.wait_until(lock, deadline, [this] { return opened; })) {
        throw std::runtime_error("a test held a stream for more than 60 s");
      }
    }
    std::mutex mutex;
    std::condition_variable changed;
    bool opened = false;
  };
  std::shared_ptr<State> state_;
};

}  // namespace millrace::test
