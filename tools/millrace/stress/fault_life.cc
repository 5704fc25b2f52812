#include "stress/fault_life.h"

#include <fmt/format.h>

namespace millrace::tool {

FaultHandler& FaultLife::handler() {
  const std::lock_guard lock(mutex_);
  return handlers_.emplace_back();
}

bool FaultLife::refused() const {
  for (std::size_t i = 0; i < kFaults; ++i) {
    if (faults_->refused(static_cast<Fault>(i)) != 0) return true;
  }
  return false;
}

bool FaultLife::allows(const Error& error) const {
  switch (error.code()) {
    // The device's memory, time and streams are scarce without any fault.
    case ErrorCode::OutOfMemory:
    case ErrorCode::TimedOut:
    case ErrorCode::PoolExhausted: return true;
    case ErrorCode::WorkFailed: return planted_.load(std::memory_order_relaxed) != 0 || refused();
    case ErrorCode::Closed: return closed_under_users_;
    // A commit was refused, and then the lease of its stream ended or its command buffer was dropped.
    case ErrorCode::InvalidState: return error.rule() == "waited-work-abandoned" && refused();
    default: return false;
  }
}

void FaultLife::check(std::uint64_t index, Findings& findings) const {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < handlers_.size(); ++i) {
    const std::uint32_t attached = handlers_[i].attached.load(std::memory_order_relaxed);
    const std::uint32_t told = handlers_[i].told.load(std::memory_order_relaxed);
    if (told != attached) {
      findings.error(fmt::format("iteration {}: handler {} of {} was attached {} times and told {} times",
                                 index, i, handlers_.size(), attached, told));
    }
  }
}

}  // namespace millrace::tool
