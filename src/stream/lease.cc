#include "stream/lease.h"

#include <algorithm>
#include <string>

namespace millrace {

LeaseTable::LeaseTable(int slots, ExhaustionPolicy policy, std::chrono::nanoseconds timeout)
    : policy_(policy),
      timeout_(timeout),
      holders_(static_cast<std::size_t>(slots), 0),
      states_(static_cast<std::size_t>(slots), Slot::free) {
  free_.reserve(static_cast<std::size_t>(slots));  // so that add_free never allocates
  for (int slot = slots - 1; slot > 0; --slot) free_.push_back(slot);
}

Status LeaseTable::acquire(bool may_wait, int* slot) {
  sync::UniqueLock lock(mutex_);
  const sync::Deadline deadline = sync::deadline_after(timeout_);
  for (;;) {
    if (closed_) return Status(ErrorCode::Closed, "the device is closed; open it again for a stream");
    if (take_free(slot)) return {};
    const std::string all =
        "all " + std::to_string(holders_.size() - 1) + " streams of the pool are leased; ";
    if (policy_ == ExhaustionPolicy::share) {
      share(slot);
      return {};
    }
    if (policy_ == ExhaustionPolicy::fail) {
      return Status(
          ErrorCode::PoolExhausted,
          all + "end a lease, raise DeviceOptions::streams or let DeviceOptions::exhaustion share them");
    }
    if (!may_wait) {
      return Status(ErrorCode::PoolExhausted,
                    all + "inside a handler or a host task a lease is not waited for: take it before");
    }
    if (!deadline) {
      returned_.wait(lock);
    } else if (!returned_.wait_until(lock, *deadline) && free_.empty() && !closed_) {
      return Status(
          ErrorCode::TimedOut,
          all + "none was returned within " +
              std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(timeout_).count()) +
              " ms (DeviceOptions::exhaustion_timeout)");
    }
  }
}

bool LeaseTable::take_free(int* slot) noexcept {
  if (free_.empty()) return false;
  *slot = free_.back();
  free_.pop_back();
  const auto index = static_cast<std::size_t>(*slot);
  states_[index] = Slot::held;
  holders_[index] = 1;
  ++leases_;
  return true;
}

void LeaseTable::share(int* slot) noexcept {
  ++leases_;
  ++shared_leases_;
  const std::size_t slots = states_.size();
  for (std::size_t tried = 1; tried < slots; ++tried) {
    const std::size_t index = next_shared_;
    next_shared_ = index + 1 == slots ? 1 : index + 1;
    if (states_[index] != Slot::held) continue;
    ++holders_[index];
    *slot = static_cast<int>(index);
    return;
  }
  *slot = 0;  // there is no other, or all are being tidied up
}

bool LeaseTable::release(int slot) noexcept {
  if (slot == 0) return false;
  sync::LockGuard lock(mutex_);
  const auto index = static_cast<std::size_t>(slot);
  if (--holders_[index] != 0) return false;
  states_[index] = Slot::leaving;
  return true;
}

void LeaseTable::add_free(int slot) noexcept {
  sync::LockGuard lock(mutex_);
  states_[static_cast<std::size_t>(slot)] = Slot::free;
  free_.push_back(slot);
  returned_.notify_one();
}

void LeaseTable::close() noexcept {
  sync::LockGuard lock(mutex_);
  closed_ = true;
  returned_.notify_all();
}

void LeaseTable::add_stats(StreamStats& stats) const {
  sync::LockGuard lock(mutex_);
  stats.streams = static_cast<int>(states_.size());
  stats.leased = static_cast<int>(std::count(states_.begin(), states_.end(), Slot::held));
  stats.leases = leases_;
  stats.shared_leases = shared_leases_;
}

}  // namespace millrace
