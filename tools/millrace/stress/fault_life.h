// What the users of one device that is refused things leave behind, and what has to be true of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include <millrace/device.h>

#include "faults.h"
#include "stress/runner.h"

namespace millrace::tool {

/// One handler: told once if it was attached, else never.
struct FaultHandler {
  // relaxed: only counted; the joins and the close order them before they are read.
  std::atomic<std::uint32_t> attached{0};
  std::atomic<std::uint32_t> told{0};
};

/// Each handler and task holds it, so that whoever has it last knows whether one of them was forgotten.
///
/// Thread safety: any thread; check once the users have ended and the device is closed.
class FaultLife {
 public:
  FaultLife(std::shared_ptr<Faults> faults, bool closed_under_users)
      : faults_(std::move(faults)), closed_under_users_(closed_under_users) {}

  /// Lasts as long as this.
  FaultHandler& handler();
  /// A task is about to fail.
  void plant() noexcept { planted_.fetch_add(1, std::memory_order_relaxed); }
  /// May a call end in this way, as things are by now?
  bool allows(const Error& error) const;
  bool allows_bad_alloc() const { return faults_->refused(Fault::allocation) != 0; }

  void check(std::uint64_t index, Findings& findings) const;

 private:
  bool refused() const;

  const std::shared_ptr<Faults> faults_;
  const bool closed_under_users_;
  // relaxed: whoever hears of the failure was told by what comes after.
  std::atomic<std::uint64_t> planted_{0};
  mutable std::mutex mutex_;  // protects what follows
  std::deque<FaultHandler> handlers_;
};

}  // namespace millrace::tool
