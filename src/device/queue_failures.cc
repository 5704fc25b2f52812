#include "device/queue_failures.h"

#include <algorithm>
#include <new>
#include <utility>

namespace millrace {
namespace {

ErrorContext on_device(const std::string& device, int stream = -1) {
  return {.call = {}, .device = device, .stream = stream, .rule = {}};
}

}  // namespace

QueueFailures::QueueFailures(std::string device)
    : cancelled(ErrorCode::Closed, "the process is exiting; this work did not run to its end",
                on_device(device)),
      stopped(ErrorCode::Closed, "the device's queues have stopped; nothing can be submitted",
              on_device(device)),
      no_memory(ErrorCode::OutOfMemory, "no host memory for the bookkeeping of a submission",
                on_device(device)),
      device_(std::move(device)) {}

Status QueueFailures::refuse(const Submission& submission, std::string why) const {
  return Status(ErrorCode::InvalidArgument, std::move(why), on_device(device_, submission.queue));
}

Status QueueFailures::check_queues(const Submission& submission, int queues) const noexcept try {
  const auto exists = [&](QueueId queue) { return queue >= 0 && queue < queues; };
  if (exists(submission.queue) &&
      std::ranges::all_of(submission.waits, [&](const TimelinePoint& wait) { return exists(wait.queue); })) {
    return {};
  }
  return refuse(submission, "submission to queue " + std::to_string(submission.queue) +
                                " names a queue that is not one of " + std::to_string(queues));
} catch (const std::bad_alloc&) {
  return no_memory;
}

Status QueueFailures::check_value(const Submission& submission, std::uint64_t last) const noexcept try {
  if (submission.value > last) return {};
  return refuse(submission, "submission of value " + std::to_string(submission.value) + " after value " +
                                std::to_string(last) + "; values of a queue must grow");
} catch (const std::bad_alloc&) {
  return no_memory;
}

Status QueueFailures::check_wait(const Submission& submission, TimelinePoint wait,
                                 std::uint64_t submitted) const noexcept try {
  if (wait.value <= submitted) return {};
  return refuse(submission, "submission waits for value " + std::to_string(wait.value) + " of queue " +
                                std::to_string(wait.queue) + ", of which only " + std::to_string(submitted) +
                                " was submitted; submit what it waits for first");
} catch (const std::bad_alloc&) {
  return no_memory;
}

}  // namespace millrace
