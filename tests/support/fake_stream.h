// Streams, events and graphs of the driver that plays an NVIDIA device.
#pragma once

#include <cuda.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace millrace::test {

/// One recording of an event.
class Recording {
 public:
  bool is_done() const {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  void finish() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
      at_ = std::chrono::steady_clock::now();
    }
    changed_.notify_all();
  }
  std::chrono::steady_clock::time_point at() const {
    const std::lock_guard lock(mutex_);
    return at_;
  }
  void wait() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool done_ = false;
  std::chrono::steady_clock::time_point at_;
};

/// What is put on streams while they are captured: operations, each after those that it has to wait for.
class FakeGraph {
 public:
  using Nodes = std::set<std::size_t>;

  explicit FakeGraph(bool global) : global_(global) {}
  std::size_t add(std::function<void()> operation, Nodes after) {
    const std::lock_guard lock(mutex_);
    nodes_.push_back({std::move(operation), std::move(after)});
    return nodes_.size() - 1;
  }
  /// Of what may run any, so that no order holds for long that was not asked for.
  void run() {
    std::vector<Node> nodes;
    {
      const std::lock_guard lock(mutex_);
      nodes = nodes_;
    }
    const std::lock_guard one_at_a_time(running_);
    std::vector<bool> ran(nodes.size(), false);
    std::vector<std::size_t> ready;
    for (std::size_t left = nodes.size(); left > 0; --left) {
      ready.clear();
      for (std::size_t node = 0; node < nodes.size(); ++node) {
        if (!ran[node] &&
            std::ranges::all_of(nodes[node].after, [&](std::size_t other) { return ran[other]; }))
          ready.push_back(node);
      }
      const std::size_t next = ready[random_() % ready.size()];
      nodes[next].operation();
      ran[next] = true;
    }
  }
  /// Does all of it come before one of those, or is one of them?
  bool leads_to(const Nodes& nodes, const Nodes& ends) {
    const std::lock_guard lock(mutex_);
    Nodes before = ends;
    for (std::size_t node = nodes_.size(); node-- > 0;) {
      if (before.contains(node)) before.insert(nodes_[node].after.begin(), nodes_[node].after.end());
    }
    return std::ranges::includes(before, nodes);
  }
  bool is_global() const { return global_; }
  std::atomic<bool> spoilt{false};
  std::atomic<bool> ended{false};  ///< its capture

 private:
  struct Node {
    std::function<void()> operation;
    Nodes after;
  };
  const bool global_;
  std::mutex mutex_;
  std::vector<Node> nodes_;
  std::mutex running_;
  std::minstd_rand random_;  // running_'s
};

/// The capture that a stream is a part of, and what the next operation on it comes after.
struct FakeCapture {
  std::shared_ptr<FakeGraph> graph;
  FakeGraph::Nodes after;
  bool began_here = false;
};

struct FakeEvent {
  std::mutex mutex;
  std::shared_ptr<Recording> last;
  FakeCapture captured;  // in which it was recorded, if it was in one

  FakeCapture capture() {
    const std::lock_guard lock(mutex);
    return captured;
  }
  std::shared_ptr<Recording> recording() {
    const std::lock_guard lock(mutex);
    return last;
  }
};

/// Operations in order, on a thread of its own.
class FakeStream {
 public:
  explicit FakeStream(CUdevice device, int priority = 0)
      : device_(device), priority_(priority), thread_([this] { work(); }) {}
  ~FakeStream() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  FakeStream(const FakeStream&) = delete;
  FakeStream& operator=(const FakeStream&) = delete;

  CUdevice device() const { return device_; }
  int priority() const { return priority_; }
  unsigned long long id() const { return id_; }
  bool is_idle() {
    const std::lock_guard lock(mutex_);
    return operations_.empty() && !running_;
  }
  /// Null unless it is being captured.
  std::shared_ptr<FakeGraph> graph() { return capture().graph; }
  FakeCapture capture() {
    const std::lock_guard lock(mutex_);
    return capture_;
  }
  FakeCapture set_capture(FakeCapture capture) {
    const std::lock_guard lock(mutex_);
    return std::exchange(capture_, std::move(capture));
  }
  /// What follows comes after these as well.
  void capture_after(const FakeGraph::Nodes& nodes) {
    const std::lock_guard lock(mutex_);
    capture_.after.insert(nodes.begin(), nodes.end());
  }
  void push(std::function<void()> operation) {
    {
      const std::lock_guard lock(mutex_);
      if (capture_.graph) {
        capture_.after = {capture_.graph->add(std::move(operation), capture_.after)};
        return;
      }
      operations_.push_back(std::move(operation));
      ++pushed_;
    }
    changed_.notify_all();
  }
  /// Allocates nothing, as the driver's does not.
  void synchronize() {
    std::unique_lock lock(mutex_);
    done_changed_.wait(lock, [this, pushed = pushed_] { return done_ >= pushed; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !operations_.empty(); });
      if (operations_.empty()) return;
      std::function<void()> operation = std::move(operations_.front());
      operations_.pop_front();
      running_ = true;
      lock.unlock();
      operation();
      operation = {};
      lock.lock();
      running_ = false;
      ++done_;
      done_changed_.notify_all();
    }
  }

  static unsigned long long next_id() {
    static std::atomic<unsigned long long> last{1000};
    return ++last;
  }

  const CUdevice device_;
  const int priority_;
  const unsigned long long id_ = next_id();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> operations_;
  bool running_ = false;
  std::uint64_t pushed_ = 0, done_ = 0;  // operations
  std::condition_variable done_changed_;
  FakeCapture capture_;
  bool stopping_ = false;
  std::thread thread_;
};

/// Streams by their handles, which are used again once a stream was destroyed.
class FakeStreams {
 public:
  CUstream make(CUdevice device, int priority = 0) {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) free_.push_back((live_.size() + destroyed_.size() + 1) << 12);
    const std::uintptr_t handle = free_.back();
    free_.pop_back();
    live_[handle] = std::make_shared<FakeStream>(device, priority);
    return reinterpret_cast<CUstream>(handle);
  }
  /// What is on it still runs.
  void destroy(CUstream stream) {
    std::shared_ptr<FakeStream> gone;
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(reinterpret_cast<std::uintptr_t>(stream));
    gone = std::move(found->second);
    live_.erase(found);
    free_.push_back(reinterpret_cast<std::uintptr_t>(stream));
    if (!gone->is_idle()) destroyed_.push_back(std::move(gone));
  }
  /// Null for a handle of nothing. The legacy default stream is that of the device whose context is current.
  std::shared_ptr<FakeStream> find(CUstream stream, CUdevice current) {
    const std::lock_guard lock(mutex_);
    if (stream == CU_STREAM_LEGACY || stream == nullptr) {
      auto& legacy = legacy_[current];
      if (!legacy) legacy = std::make_shared<FakeStream>(current);
      return legacy;
    }
    const auto found = live_.find(reinterpret_cast<std::uintptr_t>(stream));
    return found == live_.end() ? nullptr : found->second;
  }
  std::vector<std::shared_ptr<FakeStream>> all() {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<FakeStream>> streams = destroyed_;
    for (const auto& [handle, stream] : live_) streams.push_back(stream);
    for (const auto& [device, stream] : legacy_) streams.push_back(stream);
    return streams;
  }

 private:
  std::mutex mutex_;
  std::map<std::uintptr_t, std::shared_ptr<FakeStream>> live_;
  std::map<CUdevice, std::shared_ptr<FakeStream>> legacy_;
  std::vector<std::shared_ptr<FakeStream>> destroyed_;  // with work that was not done then
  std::vector<std::uintptr_t> free_;
};

}  // namespace millrace::test
