// Protect mode: names uses of memory that nothing orders, even when nothing went wrong this time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backends/host/clocks.h"
#include "backends/host/memory.h"
#include "backends/host/use_history.h"
#include "device/backend.h"
#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace::host {

/// Holds each declared use of device memory against the clock of its submission: two uses of which one
/// writes, on two queues, must be ordered by a wait or through the host.
///
/// Histories survive free and reuse of the memory; that is what catches a missing record_use.
///
/// Thread safety: all members from any thread. Submissions are checked in the order in which they come.
class Protect {
 public:
  static constexpr std::size_t kMostReports = 1000;

  Protect(int queues, std::string device, const Memory& memory);

  /// Before it is queued. A failure (InvalidState, rule "missing-dependency") says that it must not
  /// run; its uses then do not count, its place in the order does.
  Status check(const Submission& submission);
  void host_knows(TimelinePoint point) noexcept;
  /// The memory goes back to the system. Uses up to the values reported are over; later ones are kept.
  void decommitted(const void* address, std::size_t bytes, std::span<const std::uint64_t> reported);
  /// The first kMostReports, each pair of uses once.
  std::vector<MissingDependency> missing() const;

 private:
  void find_missing(const Submission& submission, const VectorClock& clock,
                    std::vector<MissingDependency>& found) const REQUIRES(mutex_);
  void remember(const Submission& submission) REQUIRES(mutex_);
  void sweep() REQUIRES(mutex_);
  Status describe(const std::vector<MissingDependency>& found) const;

  const std::string device_;
  const Memory& memory_;
  mutable sync::Mutex mutex_;
  Clocks clocks_ GUARDED_BY(mutex_);
  UseHistory history_ GUARDED_BY(mutex_);
  std::vector<MissingDependency> missing_ GUARDED_BY(mutex_);
  std::size_t sweep_at_ GUARDED_BY(mutex_);  // segments at which uses that are over are looked for
};

}  // namespace millrace::host
