// The CUDA backend's queues over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/error.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backends/cuda/backend.h"
#include "support/fake_cuda.h"
#include "support/random.h"
#include "support/scale.h"

namespace millrace::test {
namespace {

constexpr int kQueues = 6;
constexpr std::size_t kGranule = std::size_t{2} << 20;

/// Keeps what it is told, and holds the backend to the contract.
class RecordingSink final : public CompletionSink {
 public:
  Status may_run(const Submission& submission) noexcept override {
    const std::lock_guard lock(mutex_);
    asked_.insert({submission.queue, submission.value});
    if (submission.given_up) return Status(ErrorCode::WorkFailed, "it was given up");
    for (const TimelinePoint& wait : submission.waits) {
      if (completed_[index(wait.queue)] < wait.value) broken_ = "asked before a wait was over";
      if (failures_.contains({wait.queue, wait.value}))
        return Status(ErrorCode::WorkFailed, "what it waits for failed");
    }
    if (completed_[index(submission.queue)] + 1 != submission.value) broken_ = "asked before its turn";
    return {};
  }
  void completed(TimelinePoint point, Status status, sync::Clock::time_point) noexcept override {
    const std::lock_guard lock(mutex_);
    std::uint64_t& last = completed_[index(point.queue)];
    if (point.value != last + 1) broken_ = "reported out of order";
    last = point.value;
    for (const TimelinePoint& wait : waits_[{point.queue, point.value}]) {
      if (completed_[index(wait.queue)] < wait.value) broken_ = "reported before what it waits for";
    }
    if (!status.ok()) failures_[{point.queue, point.value}] = status.error().code();
    changed_.notify_all();
  }

  /// Before the submission.
  void expect(QueueId queue, std::uint64_t value, const std::vector<TimelinePoint>& waits) {
    const std::lock_guard lock(mutex_);
    waits_[{queue, value}] = waits;
  }

  [[nodiscard]] bool wait_for(QueueId queue, std::uint64_t value) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60),
                             [&] { return completed_[index(queue)] >= value; });
  }
  std::uint64_t completed(QueueId queue) {
    const std::lock_guard lock(mutex_);
    return completed_[index(queue)];
  }
  bool was_asked(QueueId queue, std::uint64_t value) {
    const std::lock_guard lock(mutex_);
    return asked_.contains({queue, value});
  }
  /// The code of a failure; nothing for what went well.
  std::optional<ErrorCode> failure(QueueId queue, std::uint64_t value) {
    const std::lock_guard lock(mutex_);
    const auto found = failures_.find({queue, value});
    return found == failures_.end() ? std::nullopt : std::optional(found->second);
  }
  std::string broken() {
    const std::lock_guard lock(mutex_);
    return broken_;
  }

 private:
  static std::size_t index(QueueId queue) { return static_cast<std::size_t>(queue); }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::uint64_t> completed_ = std::vector<std::uint64_t>(kQueues);
  std::set<std::pair<QueueId, std::uint64_t>> asked_;
  std::map<std::pair<QueueId, std::uint64_t>, ErrorCode> failures_;
  std::map<std::pair<QueueId, std::uint64_t>, std::vector<TimelinePoint>> waits_;
  std::string broken_;
};

Operation fill(void* to, std::uint8_t value, std::size_t bytes) {
  Operation operation;
  operation.work = FillWork{to, value, bytes};
  operation.name = "fill";
  return operation;
}
Operation copy(void* to, const void* from, std::size_t bytes) {
  Operation operation;
  operation.work = CopyWork{to, from, bytes};
  operation.name = "copy";
  return operation;
}
Operation task(HostTask body) {
  Operation operation;
  operation.work = TaskWork{std::move(body)};
  operation.name = "task";
  return operation;
}

/// A task that ends when it is told to.
class Gate {
 public:
  HostTask task() const {
    return [state = state_] {
      while (!state->load()) std::this_thread::sleep_for(std::chrono::microseconds(50));
    };
  }
  void open() const { state_->store(true); }

 private:
  std::shared_ptr<std::atomic<bool>> state_ = std::make_shared<std::atomic<bool>>(false);
};

class CudaQueues : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }
  void SetUp() override {
    backend_ = cuda::make_backend("cuda:0", {.workers = 4});
    ASSERT_TRUE(backend_->start(kQueues, sink_).ok());
    ASSERT_TRUE(backend_->reserve(kGranule, &memory_).ok());
    ASSERT_TRUE(backend_->commit(memory_, kGranule).ok());
  }
  void TearDown() override {
    fail_fake_cuda(CUDA_SUCCESS);
    if (backend_ == nullptr) return;
    backend_->stop();
    backend_->release(memory_, kGranule);
    backend_.reset();
    EXPECT_EQ(sink_.broken(), "");
    EXPECT_EQ(fake_cuda_memory(), 0U);
  }

  /// dependencies: what it shares the failure of; lives until the end of the test.
  Status submit(QueueId queue, std::vector<Operation> operations, std::vector<TimelinePoint> waits = {},
                bool given_up = false, std::span<const TimelinePoint> dependencies = {}) {
    Submission submission;
    submission.queue = queue;
    submission.value = ++values_[static_cast<std::size_t>(queue)];
    submission.waits = std::move(waits);
    sink_.expect(queue, submission.value, submission.waits);
    submission.operations = std::move(operations);
    submission.given_up = given_up;
    submission.dependencies = dependencies;
    return backend_->submit(std::move(submission));
  }
  template <typename... Operations>
  Status run(QueueId queue, Operations&&... operations) {
    std::vector<Operation> all;
    (all.push_back(std::forward<Operations>(operations)), ...);
    return submit(queue, std::move(all));
  }
  std::uint8_t* bytes(std::size_t offset = 0) { return static_cast<std::uint8_t*>(memory_) + offset; }
  bool finish(QueueId queue) { return sink_.wait_for(queue, values_[static_cast<std::size_t>(queue)]); }

  RecordingSink sink_;
  std::unique_ptr<Backend> backend_;
  void* memory_ = nullptr;
  std::vector<std::uint64_t> values_ = std::vector<std::uint64_t>(kQueues);
};

TEST_F(CudaQueues, WorkOfTheDeviceGoesAheadWithoutBeingAsked) {
  const Gate gate;
  ASSERT_TRUE(run(1, task(gate.task())).ok());
  std::vector<std::uint8_t> read(4096);
  ASSERT_TRUE(run(0, fill(bytes(), 7, 4096)).ok());
  ASSERT_TRUE(submit(0, {fill(bytes(1024), 8, 1024)}).ok());
  ASSERT_TRUE(run(0, copy(read.data(), bytes(), read.size())).ok());
  ASSERT_TRUE(finish(0));
  EXPECT_EQ(read[0], 7);
  EXPECT_EQ(read[1500], 8);
  EXPECT_FALSE(sink_.was_asked(0, 1));
  EXPECT_FALSE(sink_.was_asked(0, 2));
  EXPECT_EQ(sink_.completed(1), 0U);
  gate.open();
  ASSERT_TRUE(finish(1));
  EXPECT_TRUE(sink_.was_asked(1, 1));
}

TEST_F(CudaQueues, TasksRunInTheirPlaceInTheOrder) {
  const Gate gate;
  std::vector<std::uint8_t> seen(2);
  ASSERT_TRUE(run(0, fill(bytes(), 1, 8)).ok());
  ASSERT_TRUE(run(0, task(gate.task()), task([&] { seen[0] = *bytes(); })).ok());
  ASSERT_TRUE(run(0, fill(bytes(), 2, 8)).ok());
  ASSERT_TRUE(run(0, task([&] { seen[1] = *bytes(); })).ok());
  gate.open();
  ASSERT_TRUE(finish(0));
  EXPECT_EQ(seen, (std::vector<std::uint8_t>{1, 2}));
}

TEST_F(CudaQueues, WaitsHoldAcrossQueuesOnTheDeviceAndOnTheHost) {
  const Gate gate;
  std::uint8_t seen = 0;
  ASSERT_TRUE(run(0, task(gate.task()), fill(bytes(), 3, 8)).ok());
  ASSERT_TRUE(submit(1, {fill(bytes(8), 4, 8)}, {{0, 1}}).ok());
  ASSERT_TRUE(submit(2, {task([&] { seen = *bytes(8); })}, {{1, 1}}).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(sink_.completed(1), 0U);
  gate.open();
  ASSERT_TRUE(finish(2));
  EXPECT_EQ(seen, 4);
}

TEST_F(CudaQueues, AFailureIsReportedAndWhatFollowsIsAsked) {
  ASSERT_TRUE(run(0, task([] { throw std::runtime_error("it broke"); })).ok());
  ASSERT_TRUE(run(0, fill(bytes(), 1, 8)).ok());
  const std::vector<TimelinePoint> first{{0, 1}};
  ASSERT_TRUE(submit(1, {fill(bytes(), 1, 8)}, {{0, 1}}, false, first).ok());
  ASSERT_TRUE(finish(0));
  ASSERT_TRUE(finish(1));
  EXPECT_EQ(sink_.failure(0, 1), ErrorCode::WorkFailed);
  EXPECT_EQ(sink_.failure(0, 2), std::nullopt);
  EXPECT_TRUE(sink_.was_asked(0, 2));
  EXPECT_EQ(sink_.failure(1, 1), ErrorCode::WorkFailed);
  // Long after it failed, and with a wait for what came after it, who depends on that very point is asked.
  const std::vector<TimelinePoint> depends{{0, 1}, {0, 2}};
  ASSERT_TRUE(submit(2, {fill(bytes(), 1, 8)}, {{0, 2}}, false, depends).ok());
  ASSERT_TRUE(finish(2));
  EXPECT_TRUE(sink_.was_asked(2, 1));
  // Who only waits goes ahead.
  ASSERT_TRUE(submit(3, {fill(bytes(), 1, 8)}, {{0, 2}}).ok());
  ASSERT_TRUE(finish(3));
  EXPECT_FALSE(sink_.was_asked(3, 1));
}

TEST_F(CudaQueues, WhoDependsOnAnEarlierFailureOfItsOwnQueueIsAsked) {
  ASSERT_TRUE(run(0, task([] { throw std::runtime_error("it broke"); })).ok());
  ASSERT_TRUE(run(0, fill(bytes(), 1, 8)).ok());
  ASSERT_TRUE(finish(0));
  const std::vector<TimelinePoint> depends{{0, 1}};
  ASSERT_TRUE(submit(0, {fill(bytes(), 1, 8)}, {}, false, depends).ok());
  ASSERT_TRUE(submit(0, {fill(bytes(), 1, 8)}).ok());
  ASSERT_TRUE(finish(0));
  EXPECT_TRUE(sink_.was_asked(0, 3));
}

TEST_F(CudaQueues, AWaitForWhatWasNotSubmittedIsRefused) {
  const Status refused = submit(0, {fill(bytes(), 1, 8)}, {{1, 1}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::InvalidArgument);
  values_[0] = 0;
}

TEST_F(CudaQueues, ChainsOfQueuesAreReportedHoweverLong) {
  const Gate gate;
  ASSERT_TRUE(run(0, task(gate.task())).ok());
  // Back and forth: each waits for the one before, on another queue.
  for (std::uint64_t round = 1; round <= 40; ++round) {
    for (QueueId queue = 1; queue < kQueues; ++queue) {
      const QueueId before = queue == 1 ? kQueues - 1 : queue - 1;
      std::vector<TimelinePoint> waits;
      if (queue != 1 || round != 1) waits.push_back({before, values_[static_cast<std::size_t>(before)]});
      ASSERT_TRUE(submit(queue, {fill(bytes(), 1, 8)}, waits).ok());
    }
  }
  (void)backend_->assist(kQueues - 1);
  for (QueueId queue = 1; queue < kQueues; ++queue) ASSERT_TRUE(finish(queue));
  gate.open();
  ASSERT_TRUE(finish(0));
}

TEST_F(CudaQueues, WhatWasGivenUpIsAskedAndFailsInItsPlace) {
  ASSERT_TRUE(run(0, fill(bytes(), 1, 8)).ok());
  ASSERT_TRUE(submit(0, {}, {}, true).ok());
  ASSERT_TRUE(run(0, fill(bytes(), 2, 8)).ok());
  ASSERT_TRUE(finish(0));
  EXPECT_EQ(sink_.failure(0, 2), ErrorCode::WorkFailed);
  EXPECT_EQ(sink_.failure(0, 3), std::nullopt);
}

TEST_F(CudaQueues, ALostDeviceFailsEverythingAndTakesNothingMore) {
  const Gate gate;
  ASSERT_TRUE(run(0, task(gate.task()), fill(bytes(), 1, 8)).ok());
  ASSERT_TRUE(run(0, fill(bytes(), 1, 8)).ok());
  ASSERT_TRUE(submit(1, {fill(bytes(), 1, 8)}, {{0, 2}}).ok());
  fail_fake_cuda(CUDA_ERROR_ILLEGAL_ADDRESS);
  gate.open();
  ASSERT_TRUE(finish(0));
  ASSERT_TRUE(finish(1));
  EXPECT_EQ(sink_.failure(0, 1), ErrorCode::DeviceLost);
  EXPECT_EQ(sink_.failure(0, 2), ErrorCode::DeviceLost);
  EXPECT_EQ(sink_.failure(1, 1), ErrorCode::DeviceLost);
  const Status refused = run(2, fill(bytes(), 1, 8));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::DeviceLost);
  values_[2] = 0;
}

TEST_F(CudaQueues, WhoeverWaitsReportsForItself) {
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(run(3, fill(bytes(), 5, 4096)).ok());
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (sink_.completed(3) < values_[3] && std::chrono::steady_clock::now() < deadline)
      (void)backend_->assist(3);
    ASSERT_EQ(sink_.completed(3), values_[3]);
  }
}

TEST_F(CudaQueues, CancelledWorkEndsAsClosed) {
  const Gate gate;
  ASSERT_TRUE(run(0, task(gate.task())).ok());
  ASSERT_TRUE(run(0, fill(bytes(), 1, 8)).ok());
  ASSERT_TRUE(submit(1, {fill(bytes(), 1, 8)}, {{0, 2}}).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the task runs
  backend_->cancel();
  gate.open();
  backend_->stop();
  EXPECT_EQ(sink_.completed(0), 2U);
  EXPECT_EQ(sink_.completed(1), 1U);
  EXPECT_EQ(sink_.failure(0, 2), ErrorCode::Closed);
  EXPECT_EQ(sink_.failure(1, 1), ErrorCode::Closed);
}

// Every queue counts on in memory of its own; each fill is ordered after what the queue waits for.
TEST_F(CudaQueues, ManyThreadsSubmitWhatDependsOnEachOther) {
  const std::size_t rounds = scaled(2000, 10);
  std::atomic<std::uint64_t> submitted[kQueues]{};
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (QueueId queue = 0; queue < kQueues; ++queue) {
    threads.emplace_back([&, queue] {
      Random random(11, static_cast<std::uint64_t>(queue));
      for (std::size_t i = 1; i <= rounds; ++i) {
        Submission submission;
        submission.queue = queue;
        submission.value = i;
        const auto other = static_cast<QueueId>(random.below(kQueues));
        if (other != queue && random.below(3) == 0) {
          const std::uint64_t value = submitted[other].load();
          if (value != 0) submission.waits.push_back({other, value});
        }
        sink_.expect(queue, i, submission.waits);
        std::uint8_t* const own = bytes(static_cast<std::size_t>(queue) * 4096);
        const auto value = static_cast<std::uint8_t>(i);
        submission.operations.push_back(fill(own, value, 64));
        if (random.below(8) == 0) {
          submission.operations.push_back(task([&wrong, own, value] { wrong += *own != value ? 1 : 0; }));
        }
        if (!backend_->submit(std::move(submission)).ok()) ++wrong;
        submitted[queue].store(i);
        if (random.below(16) == 0) (void)backend_->assist(queue);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (QueueId queue = 0; queue < kQueues; ++queue) {
    values_[static_cast<std::size_t>(queue)] = rounds;
    EXPECT_TRUE(finish(queue));
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(CudaQueues, MemoryGoesBackInTheChunksItCameIn) {
  void* base = nullptr;
  ASSERT_TRUE(backend_->reserve(16 * kGranule, &base).ok());
  auto* const start = static_cast<std::byte*>(base);
  ASSERT_TRUE(backend_->commit(start, 2 * kGranule).ok());
  ASSERT_TRUE(backend_->commit(start + 2 * kGranule, 4 * kGranule).ok());
  ASSERT_TRUE(backend_->commit(start + 6 * kGranule, kGranule).ok());
  EXPECT_FALSE(backend_->commit(start + 5 * kGranule, kGranule).ok()) << "it is committed";
  EXPECT_EQ(backend_->decommittable(start, kGranule).size(), 0U) << "part of a chunk";
  const auto whole = backend_->decommittable(start + kGranule, 6 * kGranule);
  EXPECT_EQ(whole.data(), start + 2 * kGranule);
  EXPECT_EQ(whole.size(), 5 * kGranule);
  backend_->decommit(whole.data(), whole.size());
  EXPECT_EQ(fake_cuda_memory(), 3 * kGranule);
  EXPECT_TRUE(backend_->commit(start + 3 * kGranule, kGranule).ok()) << "it was given back";
  backend_->release(base, 16 * kGranule);
  EXPECT_EQ(fake_cuda_memory(), kGranule);
}

// So that what is free in the middle of much can be given back.
TEST_F(CudaQueues, TheFirstChunksAreSmall) {
  constexpr std::size_t kMiB = std::size_t{1} << 20, kGiB = std::size_t{1} << 30;
  void* base = nullptr;
  const std::size_t before = fake_cuda_memory();
  ASSERT_TRUE(backend_->reserve(kGiB, &base).ok());
  auto* const start = static_cast<std::byte*>(base);
  ASSERT_TRUE(backend_->commit(start, 64 * kMiB).ok());
  EXPECT_EQ(backend_->decommittable(start, 4 * kMiB - kGranule).size(), 0U);
  EXPECT_EQ(backend_->decommittable(start, 4 * kMiB).size(), 4 * kMiB);
  backend_->decommit(start + 4 * kMiB, 4 * kMiB);
  EXPECT_EQ(fake_cuda_memory(), 60 * kMiB + before);
  backend_->release(base, kGiB);
}

TEST_F(CudaQueues, WhatLastsIsInLargerChunks) {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  void* base = nullptr;
  ASSERT_TRUE(backend_->reserve(512 * kMiB, &base).ok());
  auto* const start = static_cast<std::byte*>(base);
  ASSERT_TRUE(backend_->commit(start, 256 * kMiB).ok());
  ASSERT_TRUE(backend_->commit_lasting(start + 256 * kMiB, 256 * kMiB).ok());
  EXPECT_EQ(backend_->decommittable(start, 32 * kMiB).size(), 32 * kMiB);
  EXPECT_EQ(backend_->decommittable(start + 256 * kMiB, 62 * kMiB).size(), 0U);
  EXPECT_EQ(backend_->decommittable(start + 256 * kMiB, 64 * kMiB).size(), 64 * kMiB);
  backend_->release(base, 512 * kMiB);
}

TEST_F(CudaQueues, ChunksMoveWithTheirMemory) {
  void* base = nullptr;
  ASSERT_TRUE(backend_->reserve(32 * kGranule, &base).ok());
  auto* const start = static_cast<std::byte*>(base);
  std::byte* const target = start + 16 * kGranule;
  ASSERT_TRUE(backend_->commit(start, 2 * kGranule).ok());
  ASSERT_TRUE(backend_->commit(start + 2 * kGranule, 2 * kGranule).ok());
  ASSERT_TRUE(backend_->commit(start + 4 * kGranule, 2 * kGranule).ok());
  const std::span<std::byte> range(start, 6 * kGranule);
  EXPECT_EQ(backend_->move(range, target, kGranule, kGranule).gone, 0U) << "a chunk has two granules";

  const Moved moved = backend_->move(range, target, 3 * kGranule, 16 * kGranule);
  EXPECT_EQ(moved.gone, 4 * kGranule) << "whole chunks";
  EXPECT_EQ(moved.arrived, 4 * kGranule);
  EXPECT_EQ(fake_cuda_memory(), 7 * kGranule) << "no memory was made or given back";
  EXPECT_EQ(fake_cuda_mapped(), 7 * kGranule) << "none has two addresses";
  EXPECT_EQ(backend_->decommittable(start, 6 * kGranule).data(), start + 4 * kGranule);
  EXPECT_EQ(backend_->decommittable(target, 16 * kGranule).size(), 4 * kGranule);
  std::memset(target, 7, 4 * kGranule);  // it may be touched
  EXPECT_TRUE(backend_->commit(start, 4 * kGranule).ok()) << "nothing is left there";
  backend_->release(base, 32 * kGranule);
}

TEST_F(CudaQueues, AMoveThatFailsGivesTheMemoryBack) {
  void* base = nullptr;
  ASSERT_TRUE(backend_->reserve(32 * kGranule, &base).ok());
  auto* const start = static_cast<std::byte*>(base);
  ASSERT_TRUE(backend_->commit(start, 2 * kGranule).ok());
  fail_fake_cuda(CUDA_ERROR_UNKNOWN);
  const Moved moved = backend_->move({start, 2 * kGranule}, start + 4 * kGranule, kGranule, 8 * kGranule);
  fail_fake_cuda(CUDA_SUCCESS);
  EXPECT_EQ(moved.gone, 2 * kGranule);
  EXPECT_EQ(moved.arrived, 0U);
  EXPECT_EQ(fake_cuda_memory(), kGranule);
  EXPECT_EQ(backend_->decommittable(start, 32 * kGranule).size(), 0U);
  backend_->release(base, 32 * kGranule);
}

TEST(CudaBackend, RefusesWhatOnlyTheHostCanDo) {
  install_fake_cuda();
  for (const DeviceOptions& options : {DeviceOptions{.chaos = 1}, DeviceOptions{.protect = true}}) {
    try {
      (void)cuda::make_backend("cuda:0", options);
      FAIL() << "opened";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::Unsupported);
    }
  }
}

TEST(CudaBackend, DevicesHaveIndexesAndUuids) {
  install_fake_cuda(2);
  EXPECT_EQ(cuda::full_name("cuda"), "cuda:0");
  EXPECT_EQ(cuda::full_name("cuda:1"), "cuda:1");
  EXPECT_EQ(cuda::full_name("cuda:2"), "");
  EXPECT_EQ(cuda::full_name("cuda:GPU-11111111"), "cuda:1");
  EXPECT_EQ(cuda::full_name("cuda:GPU-1"), "") << "it names both";
  EXPECT_EQ(cuda::full_name("cuda:1x"), "");
  EXPECT_EQ(cuda::available_devices().size(), 2U);
  install_fake_cuda(1);
}

}  // namespace
}  // namespace millrace::test
