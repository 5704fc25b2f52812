// Replays: what a plan keeps of a log, and in which order its steps run.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "format_support.h"
#include "formats/allocation_log.h"
#include "record/workloads.h"
#include "replay/device_allocator.h"
#include "replay/plan.h"
#include "replay/runner.h"

namespace millrace::tool {
namespace {

using ::testing::HasSubstr;

AllocationLog log_of(const std::string& lines) {
  const std::string content = "Thread,Time,Action,Pointer,Size,Stream\n" + lines;
  return parse_allocation_logs(bytes_of(content), "log.csv").front();
}

AllocationLog recorded(const char* workload, const WorkloadOptions& options) {
  const TemporaryFolder folder;
  const std::string path = folder.path("log.csv");
  OutputFile out("--output", path);
  LogMaker log(out);
  Random random(options.seed);
  for (const Workload& candidate : workloads()) {
    if (std::string(candidate.name) == workload) candidate.make(options, random, log);
  }
  out.end();
  return read_allocation_logs(path).front();
}

/// Hands out numbers, and checks what the replay promises.
class CheckingAllocator final : public ReplayAllocator {
 public:
  explicit CheckingAllocator(std::size_t limit = ~std::size_t{0}) : limit_(limit) {}

  void* allocate(std::size_t stream, std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    threads_.insert({std::this_thread::get_id(), 0});
    if (live_ + bytes > limit_) throw Error(ErrorCode::OutOfMemory, "no room");
    live_ += bytes;
    peak_ = std::max(peak_, live_);
    void* const address = reinterpret_cast<void*>(++next_);
    blocks_[address] = {stream, bytes};
    return address;
  }
  void release(std::size_t, void* address, std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    const auto block = blocks_.find(address);
    if (block == blocks_.end() || block->second.second != bytes) throw std::logic_error("no such block");
    live_ -= bytes;
    blocks_.erase(block);
  }
  std::uint64_t peak_committed() const override { return peak_; }

  std::size_t live_blocks() const { return blocks_.size(); }
  std::size_t threads() const { return threads_.size(); }

 private:
  const std::size_t limit_;
  std::mutex mutex_;  // protects what follows
  std::uintptr_t next_ = 0;
  std::size_t live_ = 0, peak_ = 0;
  std::map<void*, std::pair<std::size_t, std::size_t>> blocks_;
  std::map<std::thread::id, int> threads_;
};

TEST(ReplayPlan, CountsWhatTheLogSays) {
  const AllocationLog log = log_of(
      "7,t,free,0x99,8,0\n"
      "7,t,allocate,0x10,100,0\n"
      "7,t,allocate,0x20,513,1\n"
      "8,t,free,0x10,100,0\n"
      "8,t,allocate,0x10,1,0\n"
      "8,t,free,0x98,8,0\n");
  const ReplayPlan plan = plan_replay(log, false);
  EXPECT_EQ(plan.allocations, 3U);
  EXPECT_EQ(plan.frees, 1U);
  EXPECT_EQ(plan.unknown_frees, 2U);
  EXPECT_EQ(plan.first_unknown_free, 1U);
  EXPECT_EQ(plan.live_at_end, 2U);
  EXPECT_EQ(plan.peak_live, 512U + 1024U);
  EXPECT_EQ(plan.streams, 2U);
  ASSERT_EQ(plan.threads.size(), 2U);
  ASSERT_EQ(plan.threads[0].size(), 2U);
  ASSERT_EQ(plan.threads[1].size(), 2U);
  EXPECT_TRUE(plan.threads[0][0].handed_over);
  EXPECT_FALSE(plan.threads[0][1].handed_over);
  EXPECT_TRUE(plan.threads[1][0].handed_over);
  EXPECT_EQ(plan.threads[1][0].block, plan.threads[0][0].block);
  EXPECT_EQ(plan.threads[1][0].bytes, 100U) << "of the allocation";
  EXPECT_EQ(plan.threads[1][1].number, 5U);
}

TEST(ReplayPlan, OnOneThreadHandsNothingOver) {
  const ReplayPlan plan = plan_replay(log_of("7,t,allocate,0x10,100,0\n8,t,free,0x10,100,0\n"), true);
  ASSERT_EQ(plan.threads.size(), 1U);
  ASSERT_EQ(plan.threads[0].size(), 2U);
  EXPECT_FALSE(plan.threads[0][0].handed_over);
  EXPECT_FALSE(plan.threads[0][1].handed_over);
  EXPECT_EQ(plan.threads[0][1].thread, 1U);
}

TEST(ReplayPlan, RefusesWhatNoAllocatorDoes) {
  const auto refused = [](const std::string& lines) {
    const AllocationLog log = log_of(lines);
    return refusal_of([&] { plan_replay(log, false); }).message;
  };
  EXPECT_THAT(
      refused("1,t,allocate,0x10,8,0\n2,t,allocate,0x10,8,0\n"),
      HasSubstr("log.csv at byte 61: expected event 2 to allocate an address that is free, found 0x10, which "
                "event 1 allocated"));
  EXPECT_THAT(
      refused("1,t,allocate,0x10,8,0\n1,t,free,0x10,8,0\n2,t,free,0x10,8,0\n"),
      HasSubstr("expected event 3 to free an address that is allocated, found 0x10, which event 2 freed"));
  std::string many;
  for (int i = 0; i < 1025; ++i)
    many += std::to_string(i) + ",t,allocate,0x" + std::to_string(i + 1) + ",8,0\n";
  EXPECT_THAT(refused(many), HasSubstr("at most 1024 threads (--serial replays on one), found 1025"));
  EXPECT_EQ(plan_replay(log_of(many), true).allocations, 1025U);
}

TEST(Replay, RunsEveryStepOnTheThreadsOfTheLog) {
  WorkloadOptions options;
  options.threads = 6;
  options.seed = 3;
  for (const char* const workload : {"random", "multistream", "training", "serving"}) {
    const AllocationLog log = recorded(workload, options);
    for (const bool serial : {false, true}) {
      const ReplayPlan plan = plan_replay(log, serial);
      CheckingAllocator allocator;
      const ReplayRun run = run_replay(plan, allocator);
      EXPECT_EQ(run.done, log.entries) << workload;
      EXPECT_EQ(run.out_of_memory, 0U);
      EXPECT_FALSE(run.interrupted);
      if (plan.threads.size() == 1) {
        EXPECT_EQ(run.peak_live, plan.peak_live) << workload;
      }
      EXPECT_GE(run.peak_live, plan.peak_live / 8) << workload;
      EXPECT_EQ(allocator.live_blocks(), 0U);
      EXPECT_EQ(allocator.threads(), serial ? 1U : log.threads.size()) << workload;
      EXPECT_EQ(plan.unknown_frees, 0U);
      EXPECT_EQ(plan.live_at_end, 0U);
    }
  }
}

TEST(Replay, FreesAfterTheAllocationOnWhicheverThread) {
  // A chain through all threads: each block is freed by the next thread before that allocates.
  constexpr int kThreads = 8, kRounds = 500;
  std::string lines;
  for (int i = 0; i < kThreads * kRounds; ++i) {
    lines += std::to_string(i % kThreads) + ",t,allocate,0x" + std::to_string(i % 2 + 1) + ",8,0\n";
    lines += std::to_string((i + 1) % kThreads) + ",t,free,0x" + std::to_string(i % 2 + 1) + ",8,0\n";
  }
  const AllocationLog log = log_of(lines);
  CheckingAllocator allocator;
  const ReplayRun run = run_replay(plan_replay(log, false), allocator);
  EXPECT_EQ(run.done, static_cast<std::uint64_t>(kThreads * kRounds * 2));
  EXPECT_EQ(allocator.live_blocks(), 0U);
}

TEST(Replay, NamesTheFirstAllocationWithoutMemoryAndGoesOn) {
  const AllocationLog log = log_of(
      "1,t,allocate,0x10,600,4\n"
      "1,t,allocate,0x20,500,5\n"
      "2,t,free,0x20,500,5\n"
      "1,t,free,0x10,600,4\n"
      "1,t,allocate,0x10,1001,4\n"
      "1,t,allocate,0x30,1000,4\n");
  CheckingAllocator allocator(1000);
  const ReplayRun run = run_replay(plan_replay(log, false), allocator);
  EXPECT_EQ(run.out_of_memory, 2U);
  ASSERT_TRUE(run.first_failure.has_value());
  EXPECT_EQ(run.first_failure->number, 2U);
  EXPECT_EQ(run.first_failure->bytes, 500U);
  EXPECT_EQ(log.streams[run.first_failure->stream], 5U);
  EXPECT_EQ(run.first_failure->message, "no room");
  EXPECT_EQ(run.done, 6U);
  EXPECT_EQ(run.peak_committed, 1000U);
  EXPECT_EQ(run.peak_live, 1024U) << "of the blocks that found memory";
  EXPECT_EQ(allocator.live_blocks(), 0U) << "what is live at the end is released";
}

TEST(Replay, EndsWithAnyOtherFailure) {
  class Failing final : public ReplayAllocator {
   public:
    void* allocate(std::size_t, std::size_t bytes) override {
      if (bytes == 13) throw Error(ErrorCode::DeviceLost, "gone");
      return this;
    }
    void release(std::size_t, void*, std::size_t) override {}
    std::uint64_t peak_committed() const override { return 0; }
  };
  // The second thread waits for a block that never comes.
  const AllocationLog log = log_of("1,t,allocate,0x10,13,0\n1,t,allocate,0x20,8,0\n2,t,free,0x20,8,0\n");
  Failing allocator;
  try {
    run_replay(plan_replay(log, false), allocator);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::DeviceLost);
  }
}

TEST(Replay, TellsTheFirstFailureOfAllThreads) {
  const AllocationLog log = log_of(
      "1,t,allocate,0x10,8,0\n"
      "2,t,allocate,0x20,900,0\n"
      "3,t,allocate,0x30,800,0\n"
      "1,t,allocate,0x40,700,0\n"
      "2,t,allocate,0x50,600,0\n");
  for (const bool serial : {false, true}) {
    CheckingAllocator allocator(100);
    const ReplayRun run = run_replay(plan_replay(log, serial), allocator);
    EXPECT_EQ(run.out_of_memory, 4U);
    ASSERT_TRUE(run.first_failure);
    EXPECT_EQ(run.first_failure->bytes, 900U);
    EXPECT_EQ(run.first_failure->message, "no room");
  }
}

TEST(Replay, EndsWhenItsTimeIsOver) {
  class Slow final : public ReplayAllocator {
   public:
    void* allocate(std::size_t, std::size_t) override {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return this;
    }
    void release(std::size_t, void*, std::size_t) override {}
    std::uint64_t peak_committed() const override { return 0; }
  };
  WorkloadOptions options;
  options.seed = 6;
  const ReplayPlan plan = plan_replay(recorded("random", options), false);
  Slow allocator;
  const ReplayRun run = run_replay(plan, allocator, std::chrono::milliseconds(1));
  EXPECT_TRUE(run.late);
  EXPECT_TRUE(run.interrupted);
  EXPECT_LT(run.done, plan.allocations);
  EXPECT_FALSE(
      run_replay(plan_replay(log_of("1,t,allocate,0x10,8,0\n"), false), allocator, std::chrono::seconds(60))
          .late);
}

TEST(Replay, DrivesADevice) {
  WorkloadOptions options;
  options.seed = 5;
  const AllocationLog log = recorded("multistream", options);
  const ReplayPlan plan = plan_replay(log, false);
  DeviceAllocator allocator("host", plan.streams, 0);
  const ReplayRun run = run_replay(plan, allocator);
  EXPECT_EQ(run.done, log.entries);
  EXPECT_EQ(run.out_of_memory, 0U);
  EXPECT_GE(run.peak_committed, plan_replay(log, true).peak_live / 4);
}

TEST(Workloads, RandomIsAsInRmm) {
  WorkloadOptions options;
  options.allocations = 2000;
  options.max_size = 1 << 20;
  options.seed = 1;
  // Without a cap, and with one that three of four steps allocating soon reach.
  for (const std::uint64_t cap : {std::uint64_t{1} << 40U, std::uint64_t{100} << 20U}) {
    options.memory_cap = cap;
    const AllocationLog log = recorded("random", options);
    EXPECT_EQ(log.entries, 4000U);
    EXPECT_EQ(log.threads.size(), 1U);
    EXPECT_EQ(log.streams.size(), 1U);
    std::uint64_t live = 0, peak = 0, sum = 0, allocations = 0;
    for (const LogEvent& event : log.events) {
      ASSERT_GE(event.bytes, 1U);
      ASSERT_LE(event.bytes, options.max_size);
      live += event.action == LogAction::allocate ? event.bytes : -event.bytes;
      peak = std::max(peak, live);
      if (event.action != LogAction::allocate) continue;
      ++allocations;
      sum += event.bytes;
    }
    EXPECT_EQ(allocations, 2000U);
    EXPECT_EQ(live, 0U);
    EXPECT_LT(peak, cap);
    if (cap < sum) {
      EXPECT_GT(peak, cap * 9 / 10);
    } else {
      EXPECT_NEAR(static_cast<double>(sum) / 2000, 1 << 19, 1 << 15) << "sizes are uniform";
    }
  }
}

TEST(Workloads, RepeatWithTheirSeed) {
  WorkloadOptions options;
  for (const Workload& workload : workloads()) {
    options.seed = 1;
    const auto first = recorded(workload.name, options).events;
    const auto second = recorded(workload.name, options).events;
    options.seed = 2;
    const auto other = recorded(workload.name, options).events;
    const auto sizes = [](const std::vector<LogEvent>& events) {
      std::vector<std::uint64_t> list;
      for (const LogEvent& event : events) list.push_back(event.bytes);
      return list;
    };
    EXPECT_EQ(sizes(first), sizes(second)) << workload.name;
    EXPECT_NE(sizes(first), sizes(other)) << workload.name;
  }
}

}  // namespace
}  // namespace millrace::tool
