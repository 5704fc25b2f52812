#include "stream/lease.h"

#include <chrono>
#include <string>

#include "device/core.h"
#include "stream/pool.h"
#include "sync/asymmetric_fence.h"
#include "sync/thread.h"

namespace millrace {
namespace {

Status closed() {
  return Status(ErrorCode::Closed, "the device is closed; open it again for a stream");
}

/// Counts a thread that waits for a slot.
class Waiting {
 public:
  // seq_cst: F1 with the announcement in park (S10).
  explicit Waiting(sync::atomic<int>& count) noexcept : count_(count) {
    count_.fetch_add(1, std::memory_order_seq_cst);
  }
  // relaxed: whoever still sees it makes a slot free that might have been parked.
  ~Waiting() { count_.fetch_sub(1, std::memory_order_relaxed); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  sync::atomic<int>& count_;
};

}  // namespace

void LeasePart::retire() noexcept {
  if (stream_.slot >= 0) pool_.end_lease(nullptr, std::exchange(stream_, {}).slot);
  if (const int slot = take_parked(); slot >= 0) pool_.leases_.add_free(slot);
}

void LeasePart::fold() noexcept {
  // acquire: pairs with the release of add_single_writer. relaxed: a statistic, read under the list's mutex.
  pool_.leases_taken_.fetch_add(leases_.load(std::memory_order_acquire), std::memory_order_relaxed);
}

LeaseTable::LeaseTable(Core& core, int first_slot, int slots, ExhaustionPolicy policy,
                       std::chrono::milliseconds timeout, const Kind& kind)
    : core_(core), slots_(slots), kind_(kind), policy_(policy), timeout_(timeout) {
  free_.reserve(static_cast<std::size_t>(slots));  // so that add_free never allocates
  for (int slot = slots - 1; slot >= 0; --slot) free_.push_back(first_slot + slot);
}

Status LeaseTable::acquire(bool may_wait, int* slot) {
  Status status;
  if (try_free(slot, &status) || !status.ok()) return status;
  take_back_parked();
  if (try_free(slot, &status) || !status.ok()) return status;
  switch (policy_) {
    case ExhaustionPolicy::share: *slot = -1; return {};
    case ExhaustionPolicy::fail:
      return exhausted(ErrorCode::PoolExhausted,
                       std::string("end one, or raise DeviceOptions::") + kind_.option +
                           (kind_.may_share ? ", or let DeviceOptions::exhaustion share them" : ""));
    case ExhaustionPolicy::wait: break;
  }
  if (!may_wait) {
    return exhausted(ErrorCode::PoolExhausted,
                     "inside a handler or a host task a lease is not waited for: take it before");
  }
  const Waiting waiting(waiting_);
  sync::heavy_fence();
  take_back_parked();
  return wait_for_free(slot);
}

bool LeaseTable::take_free(int* slot) noexcept {
  if (free_.empty()) return false;
  *slot = free_.back();
  free_.pop_back();
  return true;
}

bool LeaseTable::try_free(int* slot, Status* status) {
  sync::LockGuard lock(mutex_);
  if (!closed_) return take_free(slot);
  *status = closed();
  return false;
}

Status LeaseTable::wait_for_free(int* slot) {
  const sync::Deadline deadline = sync::deadline_after(timeout_);
  sync::UniqueLock lock(mutex_);
  for (bool in_time = true;;) {
    if (closed_) return closed();
    if (take_free(slot)) return {};
    if (!in_time) break;
    if (deadline) {
      in_time = returned_.wait_until(lock, *deadline);
    } else {
      returned_.wait(lock);
    }
  }
  const std::string advice = "none was returned within " + std::to_string(timeout_.count()) +
                             " ms (DeviceOptions::exhaustion_timeout)";
  return exhausted(ErrorCode::TimedOut, advice);
}

void LeaseTable::take_back_parked() noexcept {
  if (!kind_.parked) return;
  const auto part_of = [](const Context& context) -> LeasePart& {
    return static_cast<LeasePart&>(*context.part(LayerId::streams));
  };
  const auto has_parked = [&](const Context& context) {
    // seq_cst: F1 with the announcement in park, for a thread that waits; for others it is a hint.
    return part_of(context).parked_.load(std::memory_order_seq_cst) >= 0;
  };
  const auto take_back = [&](Context& context) {
    if (const int slot = part_of(context).take_parked(); slot >= 0) add_free(slot);
  };
  // An owner at work is through with it soon; where streams are shared there are others.
  while (!core_.with_idle_contexts(has_parked, take_back) && policy_ != ExhaustionPolicy::share)
    sync::sleep_for(Context::kOperation);
}

void LeaseTable::add_free(int slot) noexcept {
  sync::LockGuard lock(mutex_);
  free_.push_back(slot);
  returned_.notify_one();
}

bool LeaseTable::park(LeasePart& part, int slot) noexcept {
  // relaxed: the context is held.
  if (part.parked_.load(std::memory_order_relaxed) >= 0) return false;
  sync::announce(part.parked_, slot);
  // seq_cst: F1 with the count in acquire (S10).
  if (waiting_.load(std::memory_order_seq_cst) == 0) [[likely]]
    return true;
  part.parked_.store(-1, std::memory_order_relaxed);
  return false;
}

void LeaseTable::close() noexcept {
  sync::LockGuard lock(mutex_);
  closed_ = true;
  returned_.notify_all();
}

Status LeaseTable::exhausted(ErrorCode code, const std::string& advice) const {
  return Status(code, "all " + std::to_string(slots_) + " " + kind_.what + " are leased; " + advice);
}

}  // namespace millrace
