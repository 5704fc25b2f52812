// What every backend's queues refuse, and with what the work that they can't run completes.
#pragma once

#include <cstdint>
#include <string>

#include "device/backend.h"
#include "device/status.h"

namespace millrace {

/// Thread safety: a constant.
class QueueFailures {
 public:
  explicit QueueFailures(std::string device);

  // Made beforehand: reporting must not need memory.
  const Status cancelled, stopped, no_memory;

  /// The submission's queue and those that it waits for are among so many.
  Status check_queues(const Submission& submission, int queues) const noexcept;
  /// Values of a queue grow. last: the last one that was taken.
  Status check_value(const Submission& submission, std::uint64_t last) const noexcept;
  /// One of the submission's waits. submitted: the last value of that queue that was taken.
  Status check_wait(const Submission& submission, TimelinePoint wait, std::uint64_t submitted) const noexcept;

 private:
  Status refuse(const Submission& submission, std::string why) const;

  const std::string device_;
};

}  // namespace millrace
