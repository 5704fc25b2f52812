// Captures and the graphs that they make, over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "support/can_take.h"
#include "support/capture_fixture.h"
#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// A kernel of the caller's: adds one to the byte.
void add_one(Stream stream, void* byte) {
  run_native(stream, [=] { ++*static_cast<std::uint8_t*>(byte); });
}

class Captures : public CaptureFixture {};

TEST_F(Captures, WorkRunsAtEachLaunchAndNotBefore) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer in = device.buffer(64), out = device.buffer(64);
  Capture capture = device.capture();
  Stream captured = capture.stream();
  void* const between = device.allocate(captured, 64);
  captured.copy(between, in.data(), 64);
  captured.commit();
  add_one(captured, between);
  captured.copy(out.data(), between, 64);
  device.deallocate(between);
  Graph graph = capture.end();
  EXPECT_TRUE(graph.valid());
  EXPECT_NE(graph.native(), nullptr);
  stream.fill(out.data(), 99, 64);
  stream.wait();
  EXPECT_EQ(out.as<std::uint8_t>()[0], 99);
  for (std::uint8_t round = 1; round < 5; ++round) {
    stream.fill(in.data(), round, 64);
    graph.launch(stream);
    stream.wait();
    EXPECT_EQ(out.as<std::uint8_t>()[0], round + 1);
    EXPECT_EQ(out.as<std::uint8_t>()[1], round);
  }
  expect_rule("stale-stream", [&] { captured.fill(out.data(), 0, 1); });
}

TEST_F(Captures, LaunchesFromManyThreadsAreInOrderWithTheirStreams) {
  Device device = Device::create("cuda:0");
  const Buffer count = device.buffer(1);
  Stream first = device.stream();
  first.fill(count.data(), 0, 1);
  first.wait();
  Capture capture = device.capture();
  add_one(capture.stream(), count.data());
  const Graph graph = capture.end();
  on_threads(8, [&](int) {
    Graph copy = graph;
    Stream stream = device.stream();
    for (int i = 0; i < 20; ++i) {
      copy.launch(stream);
      if (i % 3 == 0) stream.commit();
    }
    stream.wait();
  });
  EXPECT_EQ(count.as<std::uint8_t>()[0], 160);
}

// A3
TEST_F(Captures, MemoryIsTheGraphsUntilItsLastLaunchIsDone) {
  Device device = Device::create(
      "cuda:0", {.memory_limit = 64 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(5)});
  Stream stream = device.stream();
  std::promise<void> go;
  Capture capture = device.capture();
  Stream captured = capture.stream();
  void* const block = device.allocate(captured, 40 * kMiB);
  {
    const NativeRecorder native = captured.record_native();
    run_on_fake_stream(static_cast<CUstream>(native.stream()),
                       [opened = go.get_future().share()] { opened.wait(); });
  }
  device.deallocate(block);
  EXPECT_EQ(device.allocate(captured, 40 * kMiB), block);  // inside, the order of the stream does the rest
  device.deallocate(block);
  EXPECT_FALSE(can_take(device, 40 * kMiB));
  std::optional<Graph> graph = capture.end();
  device.check_accounting();
  EXPECT_EQ(device.memory().live, 0U);
  EXPECT_GE(device.memory().committed, 40 * kMiB);
  EXPECT_EQ(device.trim(), 0U);
  EXPECT_FALSE(can_take(device, 40 * kMiB));
  graph->launch(stream);
  stream.commit();
  graph.reset();
  EXPECT_FALSE(can_take(device, 40 * kMiB));
  go.set_value();
  stream.wait();
  EXPECT_TRUE(can_take(device, 40 * kMiB));
  device.check_accounting();
}

// C2: once the driver ends the capture, nobody puts work on its stream any more.
TEST_F(Captures, HandlesAreStaleBeforeTheDriverEndsTheCapture) {
  Device device = Device::create("cuda:0");
  const Buffer out = device.buffer(64);
  for (const bool branch : {false, true}) {
    Capture capture = device.capture();
    Stream captured = branch ? capture.branch() : capture.stream();
    captured.fill(out.data(), 1, 64);
    bool asked = false;
    before_fake_cuda(FakeCall::end_capture, [&] {
      asked = true;
      expect_rule("stale-stream", [&] { captured.fill(out.data(), 2, 64); });
      expect_rule("stale-stream", [&] { captured.commit(); });
    });
    if (branch) {
      Event end = device.event();
      end.record(captured);
      capture.stream().wait_event(end);
    }
    static_cast<void>(capture.end());
    EXPECT_TRUE(asked);
  }
}

// What an earlier capture of the same slot has left untold is not the next one's, and hides nothing of it.
TEST_F(Captures, AFailureIsToldByItsOwnCapture) {
  Device device = Device::create("cuda:0", {.captures = 1});
  const Buffer out = device.buffer(64);
  const auto fail = [&](Capture& capture) {
    capture.stream().fill(out.data(), 1, 64);
    fail_fake_cuda(CUDA_ERROR_INVALID_VALUE);
    capture.stream().commit();
    fail_fake_cuda(CUDA_SUCCESS);
  };
  {
    Capture given_up = device.capture();
    fail(given_up);
  }
  Capture capture = device.capture();
  capture.stream().fill(out.data(), 1, 64);
  static_cast<void>(capture.end());
  Capture failing = device.capture();
  fail(failing);
  EXPECT_THROW(static_cast<void>(failing.end()), Error);
}

// A3: growth moves no memory that the graph's work comes back to.
TEST_F(Captures, FreeMemoryInsideStaysWhereItIs) {
  Device device = Device::create("cuda:0", {.memory_limit = 1024 * kMiB});
  const Buffer out = device.buffer(64);
  Capture capture = device.capture();
  Stream captured = capture.stream();
  void* const first = device.allocate(captured, 200 * kMiB);
  void* const beside = device.allocate(captured, 2 * kMiB);
  captured.fill(first, 7, 64);
  captured.copy(out.data(), first, 64);
  static_cast<void>(capture.branch());  // from here on all of that was captured
  device.deallocate(first);
  void* const larger = device.allocate(captured, 256 * kMiB);
  EXPECT_GE(device.memory().committed, (200 + 2 + 256) * kMiB);
  device.deallocate(larger);
  device.deallocate(beside);
  Graph graph = capture.end();
  ASSERT_GE(device.memory().committed, (200 + 2 + 256) * kMiB);
  graph.launch(device.stream());
  device.stream().wait();
  EXPECT_EQ(out.as<std::uint8_t>()[63], 7);
  device.check_accounting();
}

TEST_F(Captures, NothingFreedBeforeIsReusedInsideAndNothingInsideOutside) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  for (const std::size_t bytes : {std::size_t{4096}, 4 * kMiB}) {
    void* const before = device.allocate(stream, bytes);
    device.deallocate(before);
    Capture capture = device.capture();
    void* const inside = device.allocate(capture.stream(), bytes);
    EXPECT_NE(inside, before);
    {
      const StreamGuard guard(capture.stream());
      void* const current = device.allocate(bytes);
      EXPECT_NE(current, before);
      device.deallocate(current);
      EXPECT_EQ(device.allocate(bytes), current);
      device.deallocate(current);
    }
    device.deallocate(inside);
    EXPECT_EQ(device.allocate(stream, bytes), before);
    device.deallocate(before);
    Graph graph = capture.end();
    EXPECT_EQ(device.allocate(stream, bytes), before);
    device.deallocate(before);
    device.check_accounting();
  }
}

TEST_F(Captures, BlocksOutliveTheirGraph) {
  Device device = Device::create("cuda:0");
  Buffer small, large;
  {
    Capture capture = device.capture();
    small = device.buffer(capture.stream(), 4096);
    large = device.buffer(capture.stream(), 8 * kMiB);
    capture.stream().fill(small.data(), 4, 4096);
    Graph graph = capture.end();
    graph.launch(device.stream());
    device.stream().wait();
  }
  EXPECT_EQ(small.as<std::uint8_t>()[7], 4);
  device.check_accounting();
  EXPECT_GE(device.memory().live, 8 * kMiB + 4096);
  std::thread([&] { small.reset(); }).join();
  large.reset();
  device.trim();
  EXPECT_EQ(device.memory().committed, 0U);
  device.check_accounting();
}

// A1: a graph that is gone does not end what other streams do with its blocks.
TEST_F(Captures, UsesOfItsBlocksByOthersOutliveTheGraph) {
  Device device = Device::create("cuda:0");
  StreamLease user = device.lease();
  Capture capture = device.capture();
  void* const block = device.allocate(capture.stream(), 8 * kMiB);
  std::promise<void> go;
  {
    const Graph graph = capture.end();
    {
      const NativeRecorder native = user.stream().record_native();
      run_on_fake_stream(static_cast<CUstream>(native.stream()),
                         [opened = go.get_future().share()] { opened.wait(); });
    }
    device.record_use(block, user.stream());
    user.stream().commit();
    device.deallocate(block);
  }
  EXPECT_EQ(device.trim(), 0U);
  EXPECT_EQ(device.memory().pending, 8 * kMiB);
  device.check_accounting();
  go.set_value();
  user.stream().wait();
  device.trim();
  EXPECT_EQ(device.memory().committed, 0U);
}

TEST_F(Captures, GraphsAreLaunchedOnWrappedStreams) {
  Device device = Device::create("cuda:0");
  const CUstream theirs = make_fake_stream();
  {
    StreamLease lease = device.wrap(theirs);
    Capture capture = device.capture();
    void* const block = device.allocate(capture.stream(), 8 * kMiB);
    std::promise<void> go;
    {
      const NativeRecorder native = capture.stream().record_native();
      run_on_fake_stream(static_cast<CUstream>(native.stream()),
                         [opened = go.get_future().share()] { opened.wait(); });
    }
    device.deallocate(block);
    {
      Graph graph = capture.end();
      graph.launch(lease.stream());
      lease.stream().commit();
    }
    EXPECT_EQ(device.trim(), 0U);
    go.set_value();
    lease.stream().wait();
    EXPECT_TRUE(eventually([&] { return device.trim(), device.memory().committed == 0; }));
  }
  destroy_fake_stream(theirs);
}

TEST_F(Captures, WhatCantBeCapturedIsRefusedByName) {
  Device device = Device::create("cuda:0");
  const Buffer buffer = device.buffer(64);
  std::uint8_t host = 0;
  Event outside = device.event(), inside = device.event();
  outside.record(device.stream());
  device.stream().fill(buffer.data(), 1, 64);
  outside.record(device.stream());
  Capture first = device.capture();
  first.stream().fill(buffer.data(), 1, 64);
  Graph graph = first.end();
  Capture capture = device.capture();
  Stream captured = capture.stream();
  expect_rule("not-capturable", [&] { captured.run("host", [] {}); });
  expect_rule("not-capturable", [&] { captured.copy(&host, buffer.data(), 1); });
  expect_rule("not-capturable", [&] { captured.copy(buffer.data(), &host, 1); });
  expect_rule("not-capturable", [&] { captured.fill(&host, 0, 1); });
  expect_rule("not-capturable", [&] { graph.launch(captured); });
  expect_rule("captured-work", [&] { captured.wait(); });
  expect_rule("captured-work", [&] { static_cast<void>(captured.query()); });
  expect_rule("captured-work", [&] { captured.on_completed([](const Completion&) {}); });
  expect_rule("captured-work", [&] { captured.commit().wait(); });
  expect_rule("captured-work", [&] { device.record_use(buffer.data(), captured); });
  expect_rule("event-outside-capture", [&] { captured.wait_event(outside); });
  captured.fill(buffer.data(), 7, 64);
  inside.record(captured);
  captured.wait_event(inside);
  expect_rule("captured-event", [&] { device.stream().wait_event(inside); });
  expect_rule("captured-event", [&] { static_cast<void>(inside.query()); });
  expect_rule("captured-event", [&] { inside.wait(); });
  device.stream().commit();
  outside.wait();
  expect_rule("captured-event", [&] { static_cast<void>(inside.elapsed_since(outside)); });
  {
    Recorder recorder = captured.record();
    expect_rule("encoder-open-at-commit", [&] { static_cast<void>(capture.end()); });
    recorder.fill(buffer.data(), 8, 32).end();
  }
  Graph other = capture.end();
  other.launch(device.stream());
  device.stream().wait();
  EXPECT_EQ(buffer.as<std::uint8_t>()[31], 8);
  EXPECT_EQ(buffer.as<std::uint8_t>()[32], 7);
}

TEST_F(Captures, ACaptureIsDroppedCleanly) {
  Device device = Device::create("cuda:0", {.captures = 1});
  Buffer kept;
  for (int round = 0; round < 5; ++round) {
    Capture capture = device.capture();
    expect_code(ErrorCode::PoolExhausted, [&] { static_cast<void>(device.capture()); });
    Stream captured = capture.stream();
    kept = device.buffer(captured, 4096);
    captured.fill(kept.data(), 1, 4096);
    if (round % 2 == 0) captured.commit();
    if (round == 3) capture.abort();
    Capture moved = std::move(capture);
    if (round == 4) moved = Capture();
  }
  device.check_accounting();
  kept.reset();
  device.trim();
  EXPECT_EQ(device.memory().committed, 0U);
  Device none = Device::create("cuda:0", {.captures = 0});
  expect_code(ErrorCode::PoolExhausted, [&] { static_cast<void>(none.capture()); });
  Device host = Device::create("host");
  expect_code(ErrorCode::Unsupported, [&] { static_cast<void>(host.capture()); });
}

TEST_F(Captures, ACaptureThatTheDriverGivesUpOnSaysSo) {
  Device device = Device::create("cuda:0", {.captures = 1});
  Capture capture = device.capture();
  {
    const NativeRecorder native = capture.stream().record_native();
    spoil_fake_capture(static_cast<CUstream>(native.stream()));
  }
  expect_rule("capture-invalidated", [&] { static_cast<void>(capture.end()); });
  EXPECT_FALSE(capture.stream().valid());
  EXPECT_TRUE(device.capture().end().valid());
}

TEST_F(Captures, TheCloseEndsCapturesAndGraphs) {
  Device device = Device::create("cuda:0");
  const Buffer buffer = device.buffer(64);
  Capture ended = device.capture(), open = device.capture(), recording = device.capture();
  ended.stream().fill(buffer.data(), 1, 64);
  Graph graph = ended.end();
  open.stream().fill(buffer.data(), 1, 64);
  open.stream().commit();
  recording.stream().fill(buffer.data(), 1, 64);
  Stream stream = device.stream();
  device.close();
  expect_code(ErrorCode::Closed, [&] { graph.launch(stream); });
  expect_code(ErrorCode::Closed, [&] { static_cast<void>(graph.native()); });
  expect_code(ErrorCode::Closed, [&] { static_cast<void>(open.end()); });
  expect_code(ErrorCode::Closed, [&] { static_cast<void>(device.capture()); });
}

TEST_F(Captures, ALostDeviceSaysSo) {
  Device device = Device::create("cuda:0");
  const Buffer buffer = device.buffer(64);
  Capture capture = device.capture();
  fail_fake_cuda(CUDA_ERROR_ILLEGAL_ADDRESS);
  capture.stream().fill(buffer.data(), 1, 64);
  expect_code(ErrorCode::DeviceLost, [&] { static_cast<void>(capture.end()); });
  expect_code(ErrorCode::DeviceLost, [&] { static_cast<void>(device.capture()); });
  device.close();
}

// Somebody's own capture, in the mode that what any thread does without care spoils.
TEST_F(Captures, NothingOfOursSpoilsACaptureOfOthers) {
  const CUstream theirs = make_fake_stream();
  begin_fake_capture(theirs);
  {
    Device device = Device::create("cuda:0", {.memory_limit = 128 * kMiB});
    on_threads(8, [&](int number) {
      Stream stream = device.stream();
      std::vector<std::uint8_t> host(256 << 10);
      for (int i = 0; i < 30; ++i) {
        const Buffer buffer = device.buffer(host.size());
        stream.copy(buffer.data(), host.data(), host.size());
        stream.fill(buffer.data(), static_cast<std::uint8_t>(i), 64);
        stream.run("task", [] {});
        stream.copy(host.data(), buffer.data(), host.size());
        Event event = device.event();
        event.record(stream);
        stream.commit();
        event.wait();
        stream.wait();
        if (i % 10 == number) device.trim();
        if (number == 0) {
          Capture capture = device.capture();
          capture.stream().fill(device.allocate(capture.stream(), 4096), 1, 4096);
          capture.end().launch(stream);
        }
      }
    });
    device.synchronize();
  }
  EXPECT_TRUE(end_fake_capture(theirs));
  destroy_fake_stream(theirs);
}

TEST_F(Captures, PrioritiesAreTheDrivers) {
  Device device =
      Device::create("cuda:0", {.high_priority_streams = 2, .exhaustion = ExhaustionPolicy::fail});
  const auto priority_of = [](Stream stream) {
    const NativeRecorder native = stream.record_native();
    return fake_stream_priority(static_cast<CUstream>(native.stream()));
  };
  StreamLease first = device.lease(StreamPriority::high), second = device.lease(StreamPriority::high);
  EXPECT_EQ(priority_of(first.stream()), -5);
  EXPECT_EQ(priority_of(second.stream()), -5);
  EXPECT_NE(first.stream().id(), second.stream().id());
  EXPECT_EQ(priority_of(device.stream()), 0);
  EXPECT_EQ(priority_of(device.lease().stream()), 0);
  expect_code(ErrorCode::PoolExhausted, [&] { static_cast<void>(device.lease(StreamPriority::high)); });
  const int slot = first.stream().id();
  first.reset();
  // A thread's next ordinary lease does not find it.
  EXPECT_EQ(priority_of(device.lease().stream()), 0);
  EXPECT_EQ(device.lease(StreamPriority::high).stream().id(), slot);
}

}  // namespace
}  // namespace millrace::test
