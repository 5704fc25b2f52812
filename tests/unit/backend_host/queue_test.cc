// Order, waits, failures and latency of the host backend's queues.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <stdexcept>
#include <thread>

#include "backends/host/backend.h"
#include "unit/backend_host/fake_sink.h"

namespace millrace::host {
namespace {

DeviceOptions with(int workers, std::optional<std::uint64_t> chaos = std::nullopt) {
  DeviceOptions options;
  options.workers = workers;
  options.chaos = chaos;
  return options;
}

class QueueOrder : public testing::TestWithParam<int> {};  // by the number of workers
INSTANTIATE_TEST_SUITE_P(Workers, QueueOrder, testing::Values(1, 2, 5));

TEST_P(QueueOrder, RunEachQueueInOrderOneAtATime) {
  constexpr int kQueues = 8;
  constexpr std::uint64_t kEach = 3000;
  FakeSink sink;
  HostBackend backend(0, with(GetParam()));
  ASSERT_TRUE(backend.start(kQueues, sink).ok());
  // Plain numbers: that each queue runs one at a time, one after the other, is what makes this race-free.
  std::uint64_t ran[kQueues] = {};
  bool right[kQueues];
  std::fill(std::begin(right), std::end(right), true);
  std::vector<std::thread> threads;
  for (int q = 0; q < kQueues; ++q) {
    threads.emplace_back([&, q] {
      for (std::uint64_t v = 1; v <= kEach; ++v) {
        const auto step = [&, q, v] { right[q] = right[q] && ++ran[q] == v; };
        EXPECT_TRUE(backend.submit(submission(q, v, {task("step", step)})).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(sink.wait_count(kQueues * kEach));
  backend.stop();
  EXPECT_TRUE(sink.in_order());
  EXPECT_EQ(sink.count(), kQueues * kEach);
  for (int q = 0; q < kQueues; ++q) {
    EXPECT_TRUE(right[q]) << q;
    EXPECT_EQ(ran[q], kEach) << q;
  }
}

// Submissions with waits at random; each sees, when it starts, that all it waits for has ended.
void run_random_waits(int workers, std::optional<std::uint64_t> chaos, std::uint64_t seed,
                      std::size_t total) {
  constexpr int kQueues = 6;
  std::mt19937_64 random(seed);
  struct Times {
    std::atomic<std::int64_t> start{0}, end{0};
  };
  FakeSink sink;
  HostBackend backend(0, with(workers, chaos));
  ASSERT_TRUE(backend.start(kQueues, sink).ok());
  std::vector<Times> times(total + 1);
  std::atomic<std::int64_t> clock{0};
  std::uint64_t last[kQueues] = {};
  std::map<std::pair<int, std::uint64_t>, std::size_t> node_of;
  std::vector<std::vector<std::size_t>> before(total);
  for (std::size_t node = 0; node < total; ++node) {
    const int q = static_cast<int>(random() % kQueues);
    std::vector<TimelinePoint> waits;
    if (last[q] != 0) before[node].push_back(node_of.at({q, last[q]}));
    for (std::uint64_t i = random() % 4; i > 0; --i) {
      const int other = static_cast<int>(random() % kQueues);
      if (last[other] == 0) continue;
      const std::uint64_t back = random() % 5;
      const TimelinePoint point{other, last[other] > back ? last[other] - back : 1};
      waits.push_back(point);
      before[node].push_back(node_of.at({point.queue, point.value}));
    }
    node_of[{q, ++last[q]}] = node;
    const auto body = [&, node] {
      times[node].start = ++clock;
      if (node % 7 == 0) std::this_thread::yield();
      times[node].end = ++clock;
    };
    ASSERT_TRUE(backend.submit(submission(q, last[q], {task("node", body)}, std::move(waits))).ok());
  }
  ASSERT_TRUE(sink.wait_count(total));
  backend.stop();
  EXPECT_TRUE(sink.in_order());
  for (std::size_t node = 0; node < total; ++node) {
    ASSERT_GT(times[node].end, 0);
    for (const std::size_t earlier : before[node]) {
      ASSERT_GT(times[node].start, times[earlier].end)
          << node << " did not wait for " << earlier << ", seed " << seed;
    }
  }
}

TEST_P(QueueOrder, WaitAcrossQueues) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) run_random_waits(GetParam(), std::nullopt, seed, 3000);
}

TEST_P(QueueOrder, KeepTheOrderUnderChaos) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) run_random_waits(GetParam(), seed, seed, 400);
}

TEST(QueueRules, ParkedStrandsBlockNoWorker) {
  FakeSink sink;
  HostBackend backend(0, with(1));
  ASSERT_TRUE(backend.start(4, sink).ok());
  Door door;
  // Queue 0 is held in a task; 1 and 2 wait for it; 3 does not. With one worker 3 can run only once
  // queue 0's first piece is over, and 1 and 2 only after the second.
  std::vector<int> order;  // one worker: one writer
  ASSERT_TRUE(backend.submit(submission(0, 1, {task("door", [&] { EXPECT_TRUE(door.pass()); })})).ok());
  ASSERT_TRUE(backend.submit(submission(0, 2, {task("zero", [&] { order.push_back(0); })}, {{3, 0}})).ok());
  ASSERT_TRUE(backend.submit(submission(1, 1, {task("one", [&] { order.push_back(1); })}, {{0, 2}})).ok());
  ASSERT_TRUE(
      backend.submit(submission(2, 1, {task("two", [&] { order.push_back(2); })}, {{1, 1}, {0, 1}})).ok());
  ASSERT_TRUE(backend.submit(submission(3, 1, {task("three", [&] { order.push_back(3); })})).ok());
  door.open();
  ASSERT_TRUE(sink.wait_count(5));
  backend.stop();
  EXPECT_EQ(order, (std::vector<int>{3, 0, 1, 2}));
}

TEST(QueueRules, RefuseWhatCannotBe) {
  FakeSink sink;
  HostBackend backend(0, with(1));
  ASSERT_TRUE(backend.start(2, sink).ok());
  const auto code = [&](Submission s) {
    const Status status = backend.submit(std::move(s));
    return status.ok() ? std::string("ok") : std::string(to_string(status.error().code()));
  };
  EXPECT_EQ(code(submission(2, 1, {})), "InvalidArgument");
  EXPECT_EQ(code(submission(-1, 1, {})), "InvalidArgument");
  EXPECT_EQ(code(submission(0, 1, {}, {{7, 0}})), "InvalidArgument");
  EXPECT_EQ(code(submission(0, 0, {})), "InvalidArgument");
  EXPECT_EQ(code(submission(0, 1, {}, {{1, 1}})), "InvalidArgument") << "not submitted yet";
  EXPECT_EQ(code(submission(0, 1, {}, {{0, 1}})), "InvalidArgument") << "itself";
  EXPECT_EQ(code(submission(0, 1, {})), "ok");
  EXPECT_EQ(code(submission(0, 1, {})), "InvalidArgument") << "twice";
  ASSERT_TRUE(sink.wait_count(1));
  backend.stop();
  EXPECT_EQ(code(submission(0, 2, {})), "Closed");
  EXPECT_EQ(sink.count(), 1u);
}

TEST(QueueRules, SkipWhatTheSinkForbids) {
  FakeSink sink;
  sink.allow = [](const Submission& s) {
    return s.value % 2 == 0 ? Status(ErrorCode::WorkFailed, "depends on failed work") : Status();
  };
  HostBackend backend(0, with(2));
  ASSERT_TRUE(backend.start(1, sink).ok());
  int ran = 0;
  for (std::uint64_t v = 1; v <= 10; ++v) {
    ASSERT_TRUE(backend.submit(submission(0, v, {task("count", [&] { ++ran; })})).ok());
  }
  ASSERT_TRUE(sink.wait_count(10));
  backend.stop();
  EXPECT_EQ(ran, 5);
  for (const auto& c : sink.of(0)) {
    EXPECT_EQ(c.status.ok(), c.value % 2 == 1) << c.value;
    if (!c.status.ok()) {
      EXPECT_EQ(c.status.error().message(), "depends on failed work");
    }
  }
}

TEST(QueueRules, AskMayRunOnlyAfterWhatWasWaitedForIsReported) {
  FakeSink sink;
  std::atomic<bool> failed{false};
  sink.then = [&](TimelinePoint point, const Status& status) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (point.queue == 0) failed = !status.ok();
  };
  sink.allow = [&](const Submission& s) {
    return s.queue == 1 && failed ? Status(ErrorCode::WorkFailed, "it failed before") : Status();
  };
  HostBackend backend(0, with(2));
  ASSERT_TRUE(backend.start(2, sink).ok());
  bool ran = false;
  ASSERT_TRUE(
      backend.submit(submission(0, 1, {task("throws", [] { throw std::runtime_error("no"); })})).ok());
  ASSERT_TRUE(backend.submit(submission(1, 1, {task("after", [&] { ran = true; })}, {{0, 1}})).ok());
  ASSERT_TRUE(sink.wait_count(2));
  backend.stop();
  EXPECT_FALSE(ran);
  EXPECT_EQ(sink.count(ErrorCode::WorkFailed), 2u);
}

TEST(QueueRules, TurnExceptionsIntoFailures) {
  FakeSink sink;
  HostBackend backend(3, with(1));
  ASSERT_TRUE(backend.start(2, sink).ok());
  bool ran = false;
  const auto after = [&] { ran = true; };
  ASSERT_TRUE(
      backend
          .submit(submission(
              1, 1, {task("load", [] { throw std::runtime_error("disk on fire"); }), task("after", after)}))
          .ok());
  ASSERT_TRUE(
      backend
          .submit(submission(
              1, 2, {task("sum", [] { throw Error(ErrorCode::TimedOut, "the other side is late"); })}))
          .ok());
  ASSERT_TRUE(backend.submit(submission(1, 3, {task("odd", [] { throw 5; })})).ok());
  ASSERT_TRUE(backend.submit(submission(1, 4, {task("nothing", HostTask())})).ok());
  ASSERT_TRUE(backend.submit(submission(1, 5, {})).ok());
  ASSERT_TRUE(sink.wait_count(5));
  backend.stop();
  const auto done = sink.of(1);
  EXPECT_FALSE(ran) << "the rest of a failed submission must not run";
  const auto expect = [&](std::size_t i, const char* name, const char* text) {
    ASSERT_FALSE(done[i].status.ok());
    const Error& error = done[i].status.error();
    EXPECT_EQ(error.code(), ErrorCode::WorkFailed);
    EXPECT_NE(error.message().find(name), std::string::npos) << error.message();
    EXPECT_NE(error.message().find(text), std::string::npos) << error.message();
    EXPECT_EQ(error.stream(), 1);
    EXPECT_EQ(error.device(), "host:3");
  };
  expect(0, "\"load\"", "disk on fire");
  expect(1, "\"sum\"", "the other side is late");
  expect(2, "\"odd\"", "not a std::exception");
  EXPECT_FALSE(done[3].status.ok());
  EXPECT_TRUE(done[4].status.ok());
}

TEST(QueueRules, CopyAndFill) {
  FakeSink sink;
  HostBackend backend(0, with(1));
  ASSERT_TRUE(backend.start(1, sink).ok());
  unsigned char from[64], to[64] = {};
  const Operation fill{FillWork{from, 0x5a, sizeof from}, "fill", {}, SourcePlace::here()};
  const Operation copy{CopyWork{to, from, 32}, "copy", {}, SourcePlace::here()};
  const Operation none{CopyWork{nullptr, nullptr, 0}, "copy", {}, SourcePlace::here()};
  ASSERT_TRUE(backend.submit(submission(0, 1, {fill, copy, none})).ok());
  ASSERT_TRUE(sink.wait_count(1));
  backend.stop();
  EXPECT_TRUE(sink.of(0)[0].status.ok());
  for (int i = 0; i < 64; ++i) EXPECT_EQ(to[i], i < 32 ? 0x5a : 0);
}

TEST(QueueRules, CompletedMaySubmit) {
  FakeSink sink;
  HostBackend backend(0, with(2));
  constexpr std::uint64_t kLast = 2000;
  sink.then = [&](TimelinePoint point, const Status&) {
    if (point.value == kLast) return;
    EXPECT_TRUE(backend.on_own_thread());
    // The queue itself and its neighbour take turns.
    Submission next = point.queue == 0 ? submission(1, point.value, {}, {point})
                                       : submission(0, point.value + 1, {}, {point});
    EXPECT_TRUE(backend.submit(std::move(next)).ok());
  };
  ASSERT_TRUE(backend.start(2, sink).ok());
  EXPECT_FALSE(backend.on_own_thread());
  ASSERT_TRUE(backend.submit(submission(0, 1, {})).ok());
  ASSERT_TRUE(sink.wait_count(2 * kLast - 1));
  backend.stop();
  EXPECT_TRUE(sink.in_order());
}

TEST(QueueRules, WhatTasksCapturedIsFreeWhenCompletionIsReported) {
  FakeSink sink;
  auto captured = std::make_shared<int>(1);
  std::atomic<long> owners{0};
  sink.then = [&](TimelinePoint, const Status&) { owners = captured.use_count(); };
  HostBackend backend(0, with(1));
  ASSERT_TRUE(backend.start(1, sink).ok());
  ASSERT_TRUE(backend.submit(submission(0, 1, {task("hold", [captured] { EXPECT_EQ(*captured, 1); })})).ok());
  ASSERT_TRUE(sink.wait_count(1));
  backend.stop();
  EXPECT_EQ(owners, 1);
}

TEST(QueueRules, FinishTimesGrow) {
  FakeSink sink;
  HostBackend backend(0, with(2));
  ASSERT_TRUE(backend.start(1, sink).ok());
  const auto before = sync::now();
  for (std::uint64_t v = 1; v <= 3; ++v) {
    ASSERT_TRUE(
        backend
            .submit(submission(
                0, v, {task("sleep", [] { std::this_thread::sleep_for(std::chrono::milliseconds(3)); })}))
            .ok());
  }
  ASSERT_TRUE(sink.wait_count(3));
  backend.stop();
  const auto done = sink.of(0);
  EXPECT_GE(done[0].when - before, std::chrono::milliseconds(3));
  EXPECT_GE(done[1].when - done[0].when, std::chrono::milliseconds(3));
  EXPECT_GE(done[2].when - done[1].when, std::chrono::milliseconds(3));
}

TEST(QueueRules, ReadyStrandsTakeTurns) {
  FakeSink sink;
  HostBackend backend(0, with(1));
  ASSERT_TRUE(backend.start(3, sink).ok());
  Door door;
  std::vector<int> order;  // one worker: one writer
  ASSERT_TRUE(backend.submit(submission(0, 1, {task("door", [&] { EXPECT_TRUE(door.pass()); })})).ok());
  for (std::uint64_t v = 1; v <= 3; ++v) {
    for (int q = 1; q <= 2; ++q) {
      ASSERT_TRUE(backend.submit(submission(q, v, {task("note", [&order, q] { order.push_back(q); })})).ok());
    }
  }
  door.open();
  ASSERT_TRUE(sink.wait_count(7));
  backend.stop();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 1, 2, 1, 2}));
}

TEST(Chaos, TheSameSeedGivesTheSameOrder) {
  const auto order_for = [](std::uint64_t seed) {
    FakeSink sink;
    HostBackend backend(0, with(1, seed));
    EXPECT_TRUE(backend.start(9, sink).ok());
    Door started, door;
    std::vector<int> order;  // one worker: one writer
    const auto hold = [&] {
      started.open();
      EXPECT_TRUE(door.pass());
    };
    EXPECT_TRUE(backend.submit(submission(0, 1, {task("door", hold)})).ok());
    EXPECT_TRUE(started.pass());  // else the worker would choose before there is all to choose from
    for (std::uint64_t v = 1; v <= 4; ++v) {
      for (int q = 1; q < 9; ++q) {
        EXPECT_TRUE(
            backend.submit(submission(q, v, {task("note", [&order, q] { order.push_back(q); })})).ok());
      }
    }
    door.open();
    EXPECT_TRUE(sink.wait_count(33));
    backend.stop();
    return order;
  };
  EXPECT_EQ(order_for(42), order_for(42));
  EXPECT_NE(order_for(42), order_for(43));
}

}  // namespace
}  // namespace millrace::host
