// What a backend's queues are explored with: submissions, and the layer above that is told of them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "device/backend.h"
#include "scenario.h"
#include "tiny_work.h"

namespace millrace::verify {

/// A look at the clock takes so long that whatever lasts until the clock says so ends at the second look:
/// without it a thread that spins until then would spin for ever. Where the clock may be looked at without
/// end, as by a watcher that naps, a thread's later looks are left out: the scenario is bounded.
inline interleave::Options with_clock(std::uint64_t looks = 0, std::uint64_t tick = 3'000'000) {
  interleave::Options options;
  options.tick = tick;
  if (looks != 0) options.max_time = (looks + 1) * tick - 1;  // naps are shorter
  return options;
}
/// Besides, only with two preemptions, as if memory were sequentially consistent.
inline interleave::Options with_few_switches(std::uint64_t looks, std::uint64_t tick = 3'000'000) {
  interleave::Options options = with_clock(looks, tick);
  options.max_preemptions = 2;
  return options;
}

inline Submission submission(QueueId queue, std::uint64_t value, std::vector<TimelinePoint> waits = {}) {
  Submission made;
  made.queue = queue;
  made.value = value;
  made.waits = std::move(waits);
  return made;
}
inline Submission submission(QueueId queue, std::uint64_t value, Operation operation,
                             std::vector<TimelinePoint> waits = {}) {
  Submission made = submission(queue, value, std::move(waits));
  made.operations.push_back(std::move(operation));
  return made;
}

/// A submission as the layer above makes it.
template <typename Queues>
Submission with_holder(Submission made) {
  made.holder = Queues::make_holder();
  return made;
}

/// Fails where a submission is reported twice, in the wrong order, or before one that it waits for. What it
/// keeps are plain values: who reports, and who is told, must be ordered by the backend.
///
/// Thread safety: expect before the submission; told, wait and ended from any thread; the rest is set before
/// the threads start.
class TinySink final : public CompletionSink {
 public:
  std::function<void(TimelinePoint)> then;  ///< called at the end of each completion
  std::function<void()> when_asked;         ///< called first thing in may_run
  /// A thread that asks may be given up on, and what it asks about be reported meanwhile, and what waits for
  /// what it is about to report.
  bool exiting = false;

  TinySink() = default;

  /// As it is going to be submitted.
  Submission expect(Submission made) {
    entry(made.queue, made.value).waits = made.waits;
    return made;
  }

  Status may_run(const Submission& asked) noexcept override {
    if (when_asked) when_asked();
    if (exiting) return {};
    Entry& which = entry(asked.queue, asked.value);
    INTERLEAVE_EXPECT(!which.asked);
    which.asked = true;
    INTERLEAVE_EXPECT(all_reported_before(asked.queue, asked.value));
    return asked.given_up ? Status(ErrorCode::Closed, "given up") : Status();
  }
  void completed(TimelinePoint point, Status status, sync::Clock::time_point) noexcept override {
    INTERLEAVE_EXPECT(all_reported_before(point.queue, point.value));
    Queue& queue = queues_[static_cast<std::size_t>(point.queue)];
    queue.reported = point.value;
    if (!status.ok()) entry(point.queue, point.value).failure = status.error().code();
    queue.told.store(point.value, std::memory_order_release);
    if (then) then(point);
  }

  /// Until the point was reported.
  void wait(TimelinePoint point) {
    static_cast<void>(interleave::await(
        queues_[static_cast<std::size_t>(point.queue)].told,
        [value = point.value](std::uint64_t told) { return told >= value; }, std::memory_order_acquire));
  }
  bool told(TimelinePoint point) {
    return queues_[static_cast<std::size_t>(point.queue)].told.load(std::memory_order_acquire) >= point.value;
  }
  // Of a point that was waited for.
  bool failed(TimelinePoint point) { return failure(point).has_value(); }
  std::optional<ErrorCode> failure(TimelinePoint point) { return entry(point.queue, point.value).failure; }
  bool asked(TimelinePoint point) { return entry(point.queue, point.value).asked; }

 private:
  static constexpr std::size_t kQueues = 3, kValues = 4;
  struct Entry {
    std::vector<TimelinePoint> waits;
    bool asked = false;
    std::optional<ErrorCode> failure;
  };
  struct Queue {
    std::uint64_t reported = 0;
    std::array<Entry, kValues> entries;
    interleave::atomic<std::uint64_t> told{0};
  };

  Entry& entry(QueueId queue, std::uint64_t value) {
    return queues_.at(static_cast<std::size_t>(queue)).entries.at(static_cast<std::size_t>(value));
  }
  bool all_reported_before(QueueId queue, std::uint64_t value) {
    bool all = queues_.at(static_cast<std::size_t>(queue)).reported == value - 1;
    if (exiting) return all;
    for (const TimelinePoint& wait : entry(queue, value).waits) {
      all = all && queues_[static_cast<std::size_t>(wait.queue)].reported >= wait.value;
    }
    return all;
  }

  std::array<Queue, kQueues> queues_;
};

}  // namespace millrace::verify
