// Captures of several streams, over a driver that plays the device and runs a graph's operations in any order
// that its waits allow.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "support/capture_fixture.h"
#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// What is recorded in the waiter from here on comes after what was in the other.
void join(Device& device, Stream waiter, Stream other) {
  Event event = device.event();
  event.record(other);
  waiter.wait_event(event);
}

class CaptureBranches : public CaptureFixture {};

TEST_F(CaptureBranches, ABranchComesAfterItsBeginningAndBeforeWhatWaitsForIt) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer in = device.buffer(64), out = device.buffer(64);
  Capture capture = device.capture();
  Stream main = capture.stream();
  void* const first = device.allocate(main, 64);
  main.copy(first, in.data(), 64);
  Stream branch = capture.branch();
  EXPECT_NE(branch.id(), main.id());
  void* const second = device.allocate(branch, 64);
  branch.copy(second, first, 64);
  run_native(branch, [=] { *static_cast<std::uint8_t*>(second) += 1; });
  join(device, main, branch);
  main.copy(out.data(), second, 64);
  main.fill(first, 99, 64);
  device.deallocate(second);
  device.deallocate(first);
  Graph graph = capture.end();
  for (std::uint8_t round = 1; round < 40; ++round) {
    stream.fill(in.data(), round, 64);
    graph.launch(stream);
    stream.wait();
    EXPECT_EQ(out.as<std::uint8_t>()[0], round + 1);
    EXPECT_EQ(out.as<std::uint8_t>()[1], round);
  }
  expect_rule("stale-stream", [&] { branch.fill(out.data(), 0, 1); });
}

// The driver's graph runs what may run in an order of its own: it must not have been told an order that
// nobody asked for, nor miss one.
TEST_F(CaptureBranches, OnlyWaitsOrderTheBranches) {
  Device device = Device::create("cuda:0");
  Capture capture = device.capture();
  Stream main = capture.stream(), branch = capture.branch();
  std::vector<int> order;
  const auto note = [&](Stream stream, int number) {
    run_native(stream, [&order, number] { order.push_back(number); });
  };
  note(main, 1);
  Event early = device.event();
  early.record(main);
  note(main, 2);
  note(branch, 3);
  branch.wait_event(early);
  note(branch, 4);
  note(main, 5);
  join(device, main, branch);
  note(main, 6);
  Graph graph = capture.end();
  std::set<std::pair<int, int>> seen;
  for (int launch = 0; launch < 200; ++launch) {
    order.clear();
    graph.launch(device.stream());
    device.stream().wait();
    ASSERT_EQ(order.size(), 6U);
    for (std::size_t first = 0; first < 6; ++first) {
      for (std::size_t second = first + 1; second < 6; ++second) seen.insert({order[first], order[second]});
    }
  }
  std::set<std::pair<int, int>> either;
  for (const auto& [first, second] : seen) {
    if (first < second && seen.contains({second, first})) either.insert({first, second});
  }
  EXPECT_EQ(either, (std::set<std::pair<int, int>>{{1, 3}, {2, 3}, {2, 4}, {3, 5}, {4, 5}}));
  EXPECT_EQ(seen.size(), 15 + either.size());
  for (const auto& [first, second] : seen)
    EXPECT_TRUE(first < second || either.contains({second, first})) << first << " before " << second;
}

// Waits for what the other stream has not committed: both are committed by the end.
TEST_F(CaptureBranches, WaitsForUncommittedWorkHoldNothingUp) {
  Device device = Device::create("cuda:0");
  Buffer byte = device.buffer(1);
  Capture capture = device.capture();
  Stream main = capture.stream();
  main.fill(byte.data(), 1, 1);
  Stream branch = capture.branch();
  Event there = device.event(), back = device.event();
  for (int i = 0; i < 100; ++i) {  // more than a stream may have uncompleted
    run_native(main, [data = byte.as<std::uint8_t>()] { *data = static_cast<std::uint8_t>(*data * 3); });
    there.record(main);
    branch.wait_event(there);
    branch.fill(byte.data(), static_cast<std::uint8_t>(i), 1);
    back.record(branch);
    main.wait_event(back);
  }
  Stream other = capture.branch();
  other.wait_event(back);
  other.copy(byte.data(), byte.data(), 1);
  join(device, main, other);
  Graph graph = capture.end();
  graph.launch(device.stream());
  device.stream().wait();
  EXPECT_EQ(byte.as<std::uint8_t>()[0], 99);
}

TEST_F(CaptureBranches, WorkThatNothingWaitsForEndsTheCaptureWithTheReason) {
  Device device = Device::create("cuda:0", {.captures = 3});
  const Buffer buffer = device.buffer(64);
  for (int round = 0; round < 3; ++round) {
    Capture capture = device.capture();
    Stream branch = capture.branch(), joined = capture.branch();
    branch.fill(buffer.data(), 1, 64);
    joined.fill(buffer.data(), 2, 64);
    join(device, capture.stream(), joined);
    if (round == 1) join(device, branch, joined);  // a wait of the wrong one
    if (round == 2) join(device, joined, branch);  // and one that comes too late
    expect_rule("unjoined-branch", [&] { static_cast<void>(capture.end()); });
    EXPECT_FALSE(capture.stream().valid());
  }
  device.check_accounting();
  // Nothing is lost by it.
  Capture capture = device.capture();
  static_cast<void>(capture.branch());
  Stream through = capture.branch();
  through.fill(buffer.data(), 3, 64);
  join(device, capture.stream(), through);
  Graph graph = capture.end();  // the other branch has nothing that could be waited for
  graph.launch(device.stream());
  device.stream().wait();
  EXPECT_EQ(buffer.as<std::uint8_t>()[0], 3);
}

// A stream of the caller's own that was taken into the capture by native means.
TEST_F(CaptureBranches, AnUnjoinedStreamOfTheCallersIsToldToo) {
  Device device = Device::create("cuda:0");
  const CUstream theirs = make_fake_stream();
  Capture capture = device.capture();
  {
    const NativeRecorder native = capture.stream().record_native();
    join_fake_capture(static_cast<CUstream>(native.stream()), theirs);
    run_on_fake_stream(theirs, [] {});
  }
  expect_rule("unjoined-branch", [&] { static_cast<void>(capture.end()); });
  destroy_fake_stream(theirs);
}

TEST_F(CaptureBranches, EventsStayWithinTheirCapture) {
  Device device = Device::create("cuda:0");
  const Buffer buffer = device.buffer(64);
  StreamLease lease = device.lease();
  Event old = device.event(), inside = device.event(), outside = device.event();
  {
    Capture before = device.capture();
    Stream branch = before.branch();
    before.stream().fill(buffer.data(), 1, 64);
    branch.fill(buffer.data(), 1, 64);
    old.record(before.stream());
    join(device, before.stream(), branch);
    static_cast<void>(before.end());
  }
  device.stream().fill(buffer.data(), 1, 64);
  outside.record(device.stream());
  Capture capture = device.capture(), another = device.capture();
  Stream branch = capture.branch();
  branch.fill(buffer.data(), 2, 64);
  inside.record(branch);
  expect_rule("captured-event", [&] { lease.stream().wait_event(inside); });
  expect_rule("captured-event", [&] { another.stream().wait_event(inside); });
  expect_rule("captured-event", [&] { inside.wait(); });
  expect_rule("event-outside-capture", [&] { branch.wait_event(outside); });
  // Of an earlier capture that had the same slots.
  expect_rule("captured-event", [&] { branch.wait_event(old); });
  expect_rule("captured-event", [&] { capture.stream().wait_event(old); });
  expect_rule("captured-work", [&] { branch.wait(); });
  Stream main = capture.stream();
  main.wait_event(inside);
  EXPECT_TRUE(capture.end().valid());
  for (Stream ended : {main, branch}) {
    expect_rule("stale-stream", [&] { ended.wait_event(inside); });
    expect_rule("stale-stream", [&] { device.allocate_pinned(ended, 64); });
  }
}

TEST_F(CaptureBranches, ARecorderThatIsOpenHoldsThemUp) {
  Device device = Device::create("cuda:0");
  const Buffer buffer = device.buffer(64);
  Capture capture = device.capture();
  Stream branch = capture.branch();
  {
    Recorder recorder = capture.stream().record();
    expect_rule("encoder-open-at-commit", [&] { static_cast<void>(capture.branch()); });
    recorder.fill(buffer.data(), 1, 64).end();
  }
  {
    Recorder recorder = branch.record();
    expect_rule("encoder-open-at-commit", [&] { static_cast<void>(capture.end()); });
    recorder.fill(buffer.data(), 2, 32).end();
  }
  join(device, capture.stream(), branch);
  Graph graph = capture.end();
  graph.launch(device.stream());
  device.stream().wait();
  EXPECT_EQ(buffer.as<std::uint8_t>()[31], 2);
}

// A3: of every stream of the capture.
TEST_F(CaptureBranches, TheirMemoryIsTheGraphsUntilItsLastLaunchIsDone) {
  Device device = Device::create(
      "cuda:0", {.memory_limit = 64 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(5)});
  Stream stream = device.stream();
  const auto can_take = [&] {
    try {
      device.deallocate(device.allocate(stream, 40 * kMiB));
      return true;
    } catch (const OutOfMemoryError&) {
      return false;
    }
  };
  std::promise<void> go;
  Capture capture = device.capture();
  Stream branch = capture.branch();
  void* const block = device.allocate(branch, 40 * kMiB);
  run_native(branch, [opened = go.get_future().share()] { opened.wait(); });
  device.deallocate(block);
  EXPECT_EQ(device.allocate(branch, 40 * kMiB), block);  // in the order of the branch
  device.deallocate(block);
  EXPECT_FALSE(can_take());
  join(device, capture.stream(), branch);
  std::optional<Graph> graph = capture.end();
  device.check_accounting();
  EXPECT_FALSE(can_take());
  graph->launch(stream);
  stream.commit();
  graph.reset();
  EXPECT_FALSE(can_take());
  go.set_value();
  stream.wait();
  EXPECT_TRUE(can_take());
  device.check_accounting();
}

// A1: the block's own stream does not order what the others do with it.
TEST_F(CaptureBranches, WhatSeveralStreamsOfACaptureUseIsNotReusedInside) {
  Device device = Device::create("cuda:0");
  for (const std::size_t bytes : {std::size_t{4096}, 4 * kMiB}) {
    Capture capture = device.capture();
    Stream main = capture.stream(), branch = capture.branch();
    void* const recorded = device.allocate(main, bytes);
    void* const told = device.allocate(main, bytes);
    void* const kept = device.allocate(main, bytes);
    branch.fill(recorded, 1, 64);
    branch.fill(kept, 1, 64);
    branch.commit();
    device.record_use(told, branch);
    for (void* const block : {recorded, told}) {
      device.deallocate(block);
      void* const next = device.allocate(main, bytes);
      EXPECT_NE(next, block);
      device.deallocate(next);
    }
    join(device, main, branch);
    {
      const Graph graph = capture.end();
      device.check_accounting();
    }
    device.deallocate(kept);  // after the graph has gone
    device.trim();
    EXPECT_EQ(device.memory().live, 0U);
    EXPECT_EQ(device.memory().pending, 0U);
    EXPECT_EQ(device.memory().committed, 0U);
    device.check_accounting();
  }
}

TEST_F(CaptureBranches, TheyAreCountedAndDroppedCleanly) {
  Device device = Device::create("cuda:0", {.captures = 3});
  Buffer kept;
  for (int round = 0; round < 6; ++round) {
    Capture capture = device.capture();
    Stream first = capture.branch(), second = capture.branch();
    expect_code(ErrorCode::PoolExhausted, [&] { static_cast<void>(capture.branch()); });
    kept = device.buffer(first, 4096);
    first.fill(kept.data(), 1, 4096);
    join(device, second, first);
    second.fill(kept.data(), 1, 4096);
    if (round % 2 == 0) second.commit();
    if (round % 3 == 0) run_native(second, [] {});
    if (round == 4) capture.abort();
  }
  device.check_accounting();
  kept.reset();
  device.trim();
  EXPECT_EQ(device.memory().committed, 0U);
  Capture over;
  expect_code(ErrorCode::Closed, [&] { static_cast<void>(over.branch()); });
  Capture open = device.capture();
  open.branch().fill(device.allocate(64), 1, 64);
  device.close();
  expect_code(ErrorCode::Closed, [&] { static_cast<void>(open.branch()); });
}

TEST_F(CaptureBranches, ALostDeviceSaysSo) {
  Device device = Device::create("cuda:0");
  Capture capture = device.capture();
  Stream branch = capture.branch();
  branch.fill(device.allocate(branch, 64), 1, 64);
  fail_fake_cuda(CUDA_ERROR_ILLEGAL_ADDRESS);
  branch.commit();
  expect_code(ErrorCode::DeviceLost, [&] { static_cast<void>(capture.branch()); });
  expect_code(ErrorCode::DeviceLost, [&] { static_cast<void>(capture.end()); });
  device.close();
}

// Each capture's streams are used by threads of their own, and other captures begin and end meanwhile.
TEST_F(CaptureBranches, ManyThreadsCaptureAtOnce) {
  Device device = Device::create("cuda:0", {.captures = 16});
  on_threads(4, [&](int number) {
    const Buffer out = device.buffer(2);
    for (int round = 0; round < 10; ++round) {
      const auto value = static_cast<std::uint8_t>(10 * number + round);
      Capture capture = device.capture();
      Stream main = capture.stream(), branch = capture.branch();
      Event done = device.event();
      std::thread other([&] {
        void* const block = device.allocate(branch, 4096);
        branch.fill(block, value, 4096);
        branch.copy(out.as<std::uint8_t>() + 1, block, 1);
        device.deallocate(block);
        branch.commit();
        done.record(branch);
      });
      void* const block = device.allocate(main, 4096);
      main.fill(block, value, 4096);
      main.copy(out.data(), block, 1);
      device.deallocate(block);
      other.join();
      main.wait_event(done);
      Graph graph = capture.end();
      graph.launch(device.stream());
      device.stream().wait();
      EXPECT_EQ(out.as<std::uint8_t>()[0], value);
      EXPECT_EQ(out.as<std::uint8_t>()[1], value);
    }
  });
  device.check_accounting();
}

}  // namespace
}  // namespace millrace::test
