#include "backends/host/protect.h"

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>

namespace millrace::host {
namespace {

constexpr std::size_t kFirstSweep = 4096;

UseHistory::Range range_of(const void* address, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(address);
  return {begin, begin + bytes};
}

std::string describe_side(const MissingDependency::Side& side) {
  std::string text = "\"" + side.operation + "\" on stream " + std::to_string(side.stream) +
                     " (command buffer " + std::to_string(side.sequence);
  if (side.place.file != nullptr && *side.place.file != '\0') {
    text += std::string(", ") + side.place.file + ":" + std::to_string(side.place.line);
  }
  return text + (side.mode == AccessMode::write ? ", writes)" : ", reads)");
}

std::string describe_range(const MissingDependency& missing) {
  const UseHistory::Range range = range_of(missing.address, missing.bytes);
  char text[96];
  std::snprintf(text, sizeof text, "bytes 0x%" PRIxPTR " to 0x%" PRIxPTR " (%zu)", range.begin, range.end,
                missing.bytes);
  return text;
}

}  // namespace

Protect::Protect(int queues, std::string device, const Memory& memory)
    : device_(std::move(device)), memory_(memory), clocks_(queues), sweep_at_(kFirstSweep) {}

Status Protect::check(const Submission& submission) {
  std::vector<MissingDependency> found;
  {
    sync::LockGuard lock(mutex_);
    find_missing(submission, clocks_.submit(submission), found);
    if (found.empty()) {
      remember(submission);
      return {};
    }
    for (const MissingDependency& missing : found) {
      if (missing_.size() < kMostReports) missing_.push_back(missing);
    }
  }
  return describe(found);
}

void Protect::find_missing(const Submission& submission, const VectorClock& clock,
                           std::vector<MissingDependency>& found) const {
  for (const Operation& operation : submission.operations) {
    // Uses of one pair can meet in several ranges: one report, with the range that spans them.
    std::vector<std::pair<const UseRecord*, std::size_t>> reported;
    for (const Use& use : operation.uses) {
      if (use.bytes == 0 || !memory_.contains(use.address)) continue;
      const auto look = [&](const UseRecord& earlier, UseHistory::Range common) {
        const std::size_t queue = static_cast<std::size_t>(earlier.point.queue);
        if (clock[queue] >= earlier.point.value) return;  // so is all on the same queue
        const auto known = std::find_if(reported.begin(), reported.end(),
                                        [&](const auto& pair) { return pair.first == &earlier; });
        if (known != reported.end()) {
          MissingDependency& first = found[known->second];
          const UseHistory::Range old = range_of(first.address, first.bytes);
          const std::uintptr_t begin = std::min(old.begin, common.begin);
          first.address = reinterpret_cast<const void*>(begin);
          first.bytes = std::max(old.end, common.end) - begin;
          return;
        }
        reported.emplace_back(&earlier, found.size());
        found.push_back({.address = reinterpret_cast<const void*>(common.begin),
                         .bytes = common.end - common.begin,
                         .earlier = {.operation = earlier.operation,
                                     .mode = earlier.mode,
                                     .stream = earlier.point.queue,
                                     .sequence = earlier.sequence,
                                     .place = earlier.place},
                         .later = {.operation = operation.name,
                                   .mode = use.mode,
                                   .stream = submission.queue,
                                   .sequence = submission.sequence,
                                   .place = operation.place}});
      };
      history_.for_each_conflict(range_of(use.address, use.bytes), use.mode, look);
    }
  }
}

void Protect::remember(const Submission& submission) {
  const TimelinePoint point{submission.queue, submission.value};
  for (const Operation& operation : submission.operations) {
    sync::Ref<UseRecord> records[2];  // by mode
    for (const Use& use : operation.uses) {
      if (use.bytes == 0 || !memory_.contains(use.address)) continue;
      sync::Ref<UseRecord>& record = records[use.mode == AccessMode::write ? 1 : 0];
      if (!record) {
        record =
            sync::make_ref<UseRecord>(point, submission.sequence, operation.name, use.mode, operation.place);
      }
      history_.add(range_of(use.address, use.bytes), record);
    }
  }
  if (history_.segments() >= sweep_at_) sweep();
}

void Protect::sweep() {
  const Clocks* const clocks = &clocks_;
  history_.drop({0, UINTPTR_MAX}, [clocks](TimelinePoint point) { return clocks->known_to_host(point); });
  sweep_at_ = std::max(kFirstSweep, 2 * history_.segments());
}

Status Protect::describe(const std::vector<MissingDependency>& found) const {
  const MissingDependency& first = found.front();
  std::string text = "nothing orders " + describe_side(first.later) + " after " +
                     describe_side(first.earlier) + "; both use " + describe_range(first) +
                     ". Record an event on stream " + std::to_string(first.earlier.stream) +
                     " after the first and wait_event for it on stream " +
                     std::to_string(first.later.stream) +
                     "; if the memory was freed and reused in between, record_use(memory, stream " +
                     std::to_string(first.earlier.stream) + ") before the free";
  if (found.size() > 1)
    text += " (and " + std::to_string(found.size() - 1) + " more, see missing_dependencies)";
  return Status(ErrorCode::InvalidState, std::move(text),
                {.call = {}, .device = device_, .stream = first.later.stream, .rule = "missing-dependency"});
}

void Protect::host_knows(TimelinePoint point) noexcept {
  sync::LockGuard lock(mutex_);
  clocks_.host_knows(point);
}

void Protect::decommitted(const void* address, std::size_t bytes, std::span<const std::uint64_t> reported) {
  sync::LockGuard lock(mutex_);
  history_.drop(range_of(address, bytes), [&](TimelinePoint point) {
    return reported[static_cast<std::size_t>(point.queue)] >= point.value;
  });
}

std::vector<MissingDependency> Protect::missing() const {
  sync::LockGuard lock(mutex_);
  return missing_;
}

}  // namespace millrace::host
