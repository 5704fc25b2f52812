// Captures, their branches and the graphs they make, on every backend that has them.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "support/can_take.h"
#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/test_device.h"
#include "support/threads.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

void join(Device& device, Stream waiter, Stream other) {
  Event event = device.event();
  event.record(other);
  waiter.wait_event(event);
}

class CaptureTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!device_.info().driver_streams)
      GTEST_SKIP() << test_device_name() << " has no graphs: DeviceInfo::driver_streams is false";
  }
  std::uint8_t first_of(const Buffer& buffer) {
    return read_one(device_.stream(), buffer.as<std::uint8_t>());
  }
  bool can_take(std::size_t bytes) { return test::can_take(device_, bytes); }

  Watchdog watchdog_{"a test of captures", std::chrono::seconds(100)};
  Device device_ =
      create_test_device({.memory_limit = 64 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(5)});
};

TEST(CaptureSupport, ADeviceWithoutGraphsSaysSo) {
  Device device = create_test_device();
  if (device.info().driver_streams) {
    EXPECT_TRUE(device.capture().end().valid());
  } else {
    expect_code(ErrorCode::Unsupported, [&] { static_cast<void>(device.capture()); });
  }
}

TEST_F(CaptureTest, WorkRunsAtEachLaunchAndNotBefore) {
  Stream stream = device_.stream();
  const Buffer in = device_.buffer(4096), out = device_.buffer(4096);
  stream.fill(out.data(), 99, 4096);
  Capture capture = device_.capture();
  {
    const Buffer between = device_.buffer(capture.stream(), 4096);
    capture.stream().copy(between.data(), in.data(), 4096);
    capture.stream().commit();
    capture.stream().copy(out.data(), between.data(), 4096);
  }
  Graph graph = capture.end();
  EXPECT_EQ(first_of(out), 99);
  for (std::uint8_t round = 1; round < 5; ++round) {
    stream.fill(in.data(), round, 4096);
    graph.launch(stream);
    EXPECT_EQ(first_of(out), round);
  }
}

// A chain through two branches, each step of which is wrong if it does not come after the one before: large
// fills take their time.
TEST_F(CaptureTest, BranchesRunBetweenTheirBeginningAndWhatWaitsForThem) {
  Stream stream = device_.stream();
  const Buffer in = device_.buffer(8 * kMiB), out = device_.buffer(8 * kMiB);
  Capture capture = device_.capture();
  Stream main = capture.stream();
  {
    const Buffer first = device_.buffer(main, 8 * kMiB);
    main.copy(first.data(), in.data(), 8 * kMiB);
    Stream left = capture.branch(), right = capture.branch();
    const Buffer second = device_.buffer(left, 8 * kMiB), third = device_.buffer(right, 8 * kMiB);
    left.copy(second.data(), first.data(), 8 * kMiB);
    right.fill(third.data(), 77, 8 * kMiB);
    join(device_, right, left);
    right.copy(third.data(), second.data(), 4 * kMiB);
    join(device_, main, right);
    main.copy(out.data(), third.data(), 8 * kMiB);
  }
  Graph graph = capture.end();
  for (std::uint8_t round = 1; round < 10; ++round) {
    stream.fill(in.data(), round, 8 * kMiB);
    graph.launch(stream);
    const std::vector<std::uint8_t> seen = read_back<std::uint8_t>(stream, out.data(), 8 * kMiB);
    ASSERT_EQ(seen.front(), round);
    ASSERT_EQ(seen[4 * kMiB - 1], round);
    ASSERT_EQ(seen[4 * kMiB], 77);
    ASSERT_EQ(seen.back(), 77);
  }
  graph = {};
  device_.check_accounting();
}

TEST_F(CaptureTest, ABranchThatNothingWaitsForEndsTheCaptureWithTheReason) {
  const Buffer buffer = device_.buffer(4096);
  Capture capture = device_.capture();
  capture.branch().fill(buffer.data(), 1, 4096);
  expect_rule("unjoined-branch", [&] { static_cast<void>(capture.end()); });
  EXPECT_FALSE(capture.stream().valid());
  Capture next = device_.capture();
  static_cast<void>(next.branch());  // with nothing on it
  next.stream().fill(buffer.data(), 2, 4096);
  Graph graph = next.end();
  graph.launch(device_.stream());
  EXPECT_EQ(first_of(buffer), 2);
}

// A3
TEST_F(CaptureTest, MemoryIsTheGraphsUntilItsLastLaunchIsDone) {
  Stream stream = device_.stream();
  Capture capture = device_.capture();
  Stream branch = capture.branch();
  void* const block = device_.allocate(branch, 40 * kMiB);
  branch.fill(block, 1, 40 * kMiB);
  device_.deallocate(block);
  EXPECT_EQ(device_.allocate(branch, 40 * kMiB), block);
  device_.deallocate(block);
  join(device_, capture.stream(), branch);
  std::optional<Graph> graph = capture.end();
  device_.check_accounting();
  EXPECT_EQ(device_.trim(), 0U);
  EXPECT_FALSE(can_take(40 * kMiB));
  StreamHold hold(stream);
  graph->launch(stream);
  stream.commit();
  graph.reset();
  EXPECT_FALSE(can_take(40 * kMiB));
  hold.open();
  stream.wait();
  EXPECT_TRUE(can_take(40 * kMiB));
  device_.check_accounting();
}

// A4: each launch reads what the host left there, so the next to allocate must not get it.
TEST_F(CaptureTest, PinnedMemoryInsideIsNotReusedBeforeTheGraphHasGone) {
  for (const std::size_t bytes : {std::size_t{64} << 10, 3 * kMiB}) {
    const Buffer out = device_.buffer(3 * bytes);
    const auto at = [&](int part) { return out.as<std::uint8_t>() + static_cast<std::size_t>(part) * bytes; };
    Capture capture = device_.capture();
    Stream main = capture.stream(), branch = capture.branch();
    Buffer kept = device_.pinned_buffer(branch, bytes);
    std::memset(kept.data(), 3, bytes);
    branch.copy(at(2), kept.data(), bytes);
    std::vector<void*> freed;
    for (int part = 0; part < 2; ++part) {
      freed.push_back(device_.allocate_pinned(main, bytes));
      std::memset(freed.back(), part + 1, bytes);
      main.copy(at(part), freed.back(), bytes);
      main.commit();
      device_.deallocate(freed.back());
    }
    EXPECT_NE(freed[0], freed[1]);
    join(device_, main, branch);
    {
      Graph graph = capture.end();
      const std::size_t committed = device_.memory(MemoryKind::pinned).committed;
      device_.trim();
      EXPECT_EQ(device_.memory(MemoryKind::pinned).committed, committed);
      for (std::uint8_t round = 1; round < 4; ++round) {
        std::memset(kept.data(), 3 * round, bytes);
        graph.launch(device_.stream());
        const std::vector<std::uint8_t> seen =
            read_back<std::uint8_t>(device_.stream(), out.data(), 3 * bytes);
        EXPECT_EQ(seen[0], 1);
        EXPECT_EQ(seen[bytes], 2);
        EXPECT_EQ(seen[2 * bytes], 3 * round);
      }
      device_.check_accounting();
    }
    kept.reset();
    device_.trim();
    EXPECT_EQ(device_.memory(MemoryKind::pinned).committed, 0U);
    EXPECT_EQ(device_.memory(MemoryKind::pinned).pending, 0U);
    device_.check_accounting();
  }
}

TEST_F(CaptureTest, WhatCantBeCapturedIsRefusedByName) {
  const Buffer buffer = device_.buffer(4096);
  std::uint8_t host = 0;
  Event outside = device_.event(), inside = device_.event();
  device_.stream().fill(buffer.data(), 1, 4096);
  outside.record(device_.stream());
  Capture capture = device_.capture();
  Stream main = capture.stream(), branch = capture.branch();
  for (Stream captured : {main, branch}) {
    expect_rule("not-capturable", [&] { captured.run("host", [] {}); });
    expect_rule("not-capturable", [&] { captured.copy(&host, buffer.data(), 1); });
    expect_rule("captured-work", [&] { captured.wait(); });
    expect_rule("captured-work", [&] { static_cast<void>(captured.query()); });
    expect_rule("captured-work", [&] { captured.on_completed([](const Completion&) {}); });
    expect_rule("captured-work", [&] { device_.record_use(buffer.data(), captured); });
    expect_rule("event-outside-capture", [&] { captured.wait_event(outside); });
  }
  branch.fill(buffer.data(), 7, 4096);
  inside.record(branch);
  expect_rule("captured-event", [&] { device_.stream().wait_event(inside); });
  expect_rule("captured-event", [&] { inside.wait(); });
  main.wait_event(inside);
  Graph graph = capture.end();
  expect_rule("stale-stream", [&] { branch.fill(buffer.data(), 1, 1); });
  Capture second = device_.capture();
  expect_rule("not-capturable", [&] { graph.launch(second.stream()); });
  second.abort();
  graph.launch(device_.stream());
  EXPECT_EQ(first_of(buffer), 7);
}

TEST_F(CaptureTest, ManyThreadsCaptureAndLaunchAtOnce) {
  Device device = create_test_device({.captures = 16});
  on_threads(8, [&](int number) {
    const Buffer out = device.buffer(2);
    for (int round = 0; round < 8; ++round) {
      const auto value = static_cast<std::uint8_t>(10 * number + round);
      Capture capture = device.capture();
      Stream branch = capture.branch();
      {
        const Buffer left = device.buffer(capture.stream(), 4096), right = device.buffer(branch, 4096);
        capture.stream().fill(left.data(), value, 4096);
        branch.fill(right.data(), value, 4096);
        branch.copy(out.as<std::uint8_t>() + 1, right.data(), 1);
        capture.stream().copy(out.data(), left.data(), 1);
      }
      join(device, capture.stream(), branch);
      if (round % 4 == 3) {
        capture.abort();
        continue;
      }
      Graph graph = capture.end();
      graph.launch(device.stream());
      EXPECT_EQ(read_back<std::uint8_t>(device.stream(), out.data(), 2),
                (std::vector<std::uint8_t>{value, value}));
    }
  });
  device.check_accounting();
  device.trim();
  EXPECT_EQ(device.memory().live, 0U);
}

}  // namespace
}  // namespace millrace::test
