#include "replay/plan.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "formats/file_format_error.h"

namespace millrace::tool {
namespace {

/// What an address of the log stands for.
struct Place {
  std::uint64_t number = 0;  // of the last event about it
  std::uint64_t bytes = 0;
  std::size_t step = 0;  // of the allocation, on its thread
  std::uint32_t block = 0;
  std::uint32_t thread = 0;
  bool live = false;
};

class Planner {
 public:
  Planner(const AllocationLog& log, bool serial) : log_(log), serial_(serial) {}

  ReplayPlan plan() {
    number_blocks();
    for (const LogEvent& event : log_.events) {
      if (event.action == LogAction::allocate) {
        allocate(event);
      } else {
        release(event);
      }
    }
    plan_.streams = log_.streams.size();
    plan_.live_at_end = plan_.allocations - plan_.frees;
    return std::move(plan_);
  }

 private:
  [[noreturn]] void fail(const LogEvent& event, std::string expected, std::string found) const {
    throw FileFormatError(log_.path, event.at, std::move(expected), std::move(found));
  }

  std::uint32_t thread_of(const LogEvent& event) const { return serial_ ? 0 : event.thread; }

  /// Blocks of one thread are numbered in a row: what is kept of each lies apart from what other threads
  /// write.
  void number_blocks() {
    const std::size_t threads = serial_ ? std::min<std::size_t>(log_.threads.size(), 1) : log_.threads.size();
    if (threads > kMostReplayThreads) {
      throw FileFormatError(log_.path, std::nullopt,
                            fmt::format("at most {} threads (--serial replays on one)", kMostReplayThreads),
                            std::to_string(threads));
    }
    plan_.threads.resize(threads);
    std::vector<std::uint64_t> counts(threads, 0);
    for (const LogEvent& event : log_.events) {
      if (event.action == LogAction::allocate) ++counts[thread_of(event)];
    }
    std::uint64_t next = 0;
    for (const std::uint64_t count : counts) {
      next_block_.push_back(static_cast<std::uint32_t>(next));
      next += count;
    }
    if (next > UINT32_MAX) {
      throw FileFormatError(log_.path, std::nullopt, "fewer than 2^32 allocations", std::to_string(next));
    }
    plan_.blocks = static_cast<std::uint32_t>(next);
  }

  void allocate(const LogEvent& event) {
    Place& place = places_[event.address];
    if (place.live) {
      fail(event, fmt::format("event {} to allocate an address that is free", event.number),
           fmt::format("0x{:x}, which event {} allocated", event.address, place.number));
    }
    const std::uint32_t thread = thread_of(event);
    std::vector<ReplayStep>& steps = plan_.threads[thread];
    place = {event.number, event.bytes, steps.size(), next_block_[thread]++, thread, true};
    steps.push_back({.allocate = true,
                     .thread = event.thread,
                     .stream = event.stream,
                     .block = place.block,
                     .bytes = event.bytes,
                     .number = event.number});
    ++plan_.allocations;
    live_ += live_bytes(event.bytes);
    if (live_ >> 63U != 0) fail(event, "live blocks of less than 2^63 bytes", "more");
    plan_.peak_live = std::max(plan_.peak_live, live_);
  }

  void release(const LogEvent& event) {
    const auto found = places_.find(event.address);
    if (found == places_.end()) {
      if (plan_.unknown_frees++ == 0) plan_.first_unknown_free = event.number;
      return;
    }
    Place& place = found->second;
    if (!place.live) {
      fail(event, fmt::format("event {} to free an address that is allocated", event.number),
           fmt::format("0x{:x}, which event {} freed", event.address, place.number));
    }
    const std::uint32_t thread = thread_of(event);
    const bool handed_over = thread != place.thread;
    plan_.threads[place.thread][place.step].handed_over = handed_over;
    plan_.threads[thread].push_back({.handed_over = handed_over,
                                     .thread = event.thread,
                                     .stream = event.stream,
                                     .block = place.block,
                                     .bytes = place.bytes,
                                     .number = event.number});
    ++plan_.frees;
    live_ -= live_bytes(place.bytes);
    place.live = false;
    place.number = event.number;
  }

  const AllocationLog& log_;
  const bool serial_;
  ReplayPlan plan_;
  std::vector<std::uint32_t> next_block_;  // of each thread
  std::unordered_map<std::uint64_t, Place> places_;
  std::uint64_t live_ = 0;
};

}  // namespace

ReplayPlan plan_replay(const AllocationLog& log, bool serial) {
  return Planner(log, serial).plan();
}

}  // namespace millrace::tool
