// Work shared among processes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/stack.h"

namespace interleave {

/// What one worker has done; in memory that all share.
struct Counts {
  std::uint64_t executions = 0;
  std::uint64_t blocked = 0;
  std::uint64_t bounded = 0;
  bool race = false;
  bool too_long = false;
  bool cut_off = false;  // a limit of time, memory or executions was met
};

/// Processes that explore parts of one tree. Each has a stack of its own; one that has nothing left takes the
/// oldest graph, the root of the largest subtree, that another one gives away. The processes are forked when
/// the work begins, so that memory and code are at the same addresses in all. None outlives the first; one
/// that dies (killed, or by what the test does) ends the work of all.
///
/// Thread safety: one thread a process.
class Workers {
 public:
  /// Throws std::bad_alloc when the system has no shared memory for it.
  explicit Workers(unsigned count);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Forks; returns in each process with its number, 0 in the caller's. Fewer if the system has not so many.
  unsigned start();
  /// In all processes but the first: ends it.
  [[noreturn]] void leave();
  /// In the first: waits for the others. False if one ended otherwise than by leave; all stop then.
  bool wait();
  /// How that one ended: "worker 1 was ended by signal 9 (Killed)".
  const std::string& lost() const noexcept { return lost_; }

  Counts& mine() noexcept { return shared_->counts[number_]; }
  Counts total() const noexcept;

  /// Gives work away if somebody has none.
  void share(Stack& stack, std::size_t (*size_of)(const std::byte*)) noexcept {
    if (count_ > 1 && shared_->hungry.load(std::memory_order_relaxed) != 0 && stack.count() > 1)
      give(stack, size_of);
  }
  /// Waits for work; false when there is none left anywhere, or all are to stop.
  bool take(Stack& stack);

  /// In the first, now and then: whether the others are still there.
  void look_after() { reap(kNoHang); }

  bool stopping() const noexcept { return shared_->stop.load(std::memory_order_relaxed); }
  void stop() noexcept { shared_->stop.store(true, std::memory_order_relaxed); }
  /// Tells all to stop and keeps the first failure's execution, as a script.
  void fail(const std::string& script) noexcept;
  /// The script of the first failure; nothing if none failed.
  bool failed() const noexcept { return shared_->failure.load(std::memory_order_acquire) == kWritten; }
  std::string failure() const { return shared_->script; }

 private:
  static constexpr int kNoHang = 1;  // WNOHANG
  static constexpr int kSlots = 8;
  static constexpr std::size_t kSlotBytes = 128 << 10;
  static constexpr unsigned kMost = 64;
  enum : int { kEmpty = 0, kWriting, kWritten };

  struct Slot {
    std::atomic<int> state;
    std::size_t bytes;
    std::byte graph[kSlotBytes];
  };
  struct Shared {
    std::atomic<bool> left[kMost];  // by leave
    std::atomic<unsigned> hungry;
    std::atomic<bool> stop;
    std::atomic<int> failure;
    char script[16 << 10];
    Counts counts[kMost];
    Slot slots[kSlots];
  };

  void give(Stack& stack, std::size_t (*size_of)(const std::byte*)) noexcept;
  bool all_empty() const noexcept;
  void reap(int flags);

  Shared* shared_;
  unsigned count_;
  unsigned number_ = 0;
  std::vector<int> children_;  // 0: gone; the caller's only
  std::string lost_;
};

}  // namespace interleave
