// Captures and graphs on a real device.
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "gpu/gpu_test.h"
#include "gpu/kernels.h"
#include "support/expect_error.h"
#include "support/scale.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kWords = 1 << 20;

class GpuCapture : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  }
};

TEST_F(GpuCapture, OperationsKernelsAndReductionsRunAtEachLaunch) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer in = device.buffer(kWords * 4), sum = device.buffer(8);
  Capture capture = device.capture();
  Stream captured = capture.stream();
  {
    const Buffer between = device.buffer(captured, kWords * 4);
    captured.copy(between.data(), in.data(), in.size());
    {
      const NativeRecorder native = captured.record_native();
      ASSERT_EQ(launch_add_one(driver_stream(native), between.as<std::uint32_t>(), kWords), cudaSuccess);
    }
    reduce(captured, ReduceOp::sum, contiguous(between.data(), DType::i32, {kWords}),
           contiguous(sum.data(), DType::i64, {}));
  }
  Graph graph = capture.end();
  for (std::uint8_t round = 0; round < 20; ++round) {
    std::int64_t result = 0;
    stream.fill(in.data(), 0, in.size());
    stream.fill(in.data(), round, 4);
    graph.launch(stream);
    stream.copy(&result, sum.data(), 8);
    stream.wait();
    ASSERT_EQ(result, std::int64_t{kWords} + round * std::int64_t{0x01010101});
  }
  // And by the caller's own means.
  ASSERT_EQ(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph.native()), nullptr), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

// A fork and a join: two kernels that the graph may run at once, each on memory of its own stream.
TEST_F(GpuCapture, BranchesRunBetweenTheirBeginningAndWhatWaitsForThem) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer in = device.buffer(kWords * 4), sums = device.buffer(16);
  constexpr long long kTicks = 2'000'000;
  Capture capture = device.capture();
  Stream main = capture.stream();
  {
    const Buffer both = device.buffer(main, kWords * 4);
    main.copy(both.data(), in.data(), in.size());
    Stream branch = capture.branch();
    const Buffer left = device.buffer(main, kWords * 4), right = device.buffer(branch, kWords * 4);
    for (Stream side : {main, branch}) {
      std::uint32_t* const words = (side.id() == main.id() ? left : right).as<std::uint32_t>();
      {
        // Late, so that whoever does not wait for it reads what was there before.
        const NativeRecorder native = side.record_native();
        ASSERT_EQ(launch_set(driver_stream(native), words, kWords, 0, kTicks), cudaSuccess);
      }
      side.copy(words, both.data(), in.size());
      const NativeRecorder native = side.record_native();
      ASSERT_EQ(launch_add_one(driver_stream(native), words, kWords), cudaSuccess);
    }
    Event done = device.event();
    done.record(branch);
    main.wait_event(done);
    reduce(main, ReduceOp::sum, contiguous(left.data(), DType::i32, {kWords}),
           contiguous(sums.data(), DType::i64, {}));
    reduce(main, ReduceOp::sum, contiguous(right.data(), DType::i32, {kWords}),
           contiguous(sums.as<std::int64_t>() + 1, DType::i64, {}));
  }
  Graph graph = capture.end();
  for (std::uint8_t round = 0; round < 20; ++round) {
    std::int64_t results[2] = {};
    stream.fill(in.data(), 0, in.size());
    stream.fill(in.data(), round, 4);
    graph.launch(stream);
    stream.copy(results, sums.data(), sizeof results);
    stream.wait();
    for (const std::int64_t result : results)
      ASSERT_EQ(result, std::int64_t{kWords} + round * std::int64_t{0x01010101});
  }
  graph = {};
  device.check_accounting();
}

TEST_F(GpuCapture, AnUnjoinedBranchIsToldByName) {
  Device device = Device::create("cuda:0");
  const Buffer buffer = device.buffer(4096);
  for (const bool waits_too_early : {false, true}) {
    Capture capture = device.capture();
    Stream branch = capture.branch();
    branch.fill(buffer.data(), 1, 64);
    if (waits_too_early) {
      Event event = device.event();
      event.record(branch);
      capture.stream().wait_event(event);
      branch.fill(buffer.data(), 2, 64);
    }
    expect_rule("unjoined-branch", [&] { static_cast<void>(capture.end()); });
  }
  // A branch with nothing on it asks for nothing, and one that was given up leaves nothing behind.
  for (int round = 0; round < 3; ++round) {
    Capture given_up = device.capture();
    given_up.branch().fill(buffer.data(), 3, 64);
    given_up.abort();
    Capture capture = device.capture();
    static_cast<void>(capture.branch());
    capture.stream().fill(buffer.data(), 4, 64);
    capture.end().launch(device.stream());
  }
  std::uint8_t result = 0;
  device.stream().copy(&result, buffer.data(), 1);
  device.stream().wait();
  EXPECT_EQ(result, 4);
}

// A stream of the caller's own, taken into the capture with an event of the caller's own.
TEST_F(GpuCapture, AStreamOfTheCallersJoinsAndReturns) {
  Device device = Device::create("cuda:0");
  const Buffer words = device.buffer(kWords * 4);
  cudaStream_t theirs = nullptr;
  cudaEvent_t there = nullptr, back = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&theirs, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&there, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&back, cudaEventDisableTiming), cudaSuccess);
  for (const bool returns : {true, false}) {
    Capture capture = device.capture();
    capture.stream().fill(words.data(), 0, words.size());
    {
      const NativeRecorder native = capture.stream().record_native();
      ASSERT_EQ(cudaEventRecord(there, driver_stream(native)), cudaSuccess);
      ASSERT_EQ(cudaStreamWaitEvent(theirs, there), cudaSuccess);
      ASSERT_EQ(launch_add_one(theirs, words.as<std::uint32_t>(), kWords), cudaSuccess);
      ASSERT_EQ(cudaEventRecord(back, theirs), cudaSuccess);
      if (returns) {
        ASSERT_EQ(cudaStreamWaitEvent(driver_stream(native), back), cudaSuccess);
      }
    }
    if (!returns) {
      expect_rule("unjoined-branch", [&] { static_cast<void>(capture.end()); });
      static_cast<void>(cudaGetLastError());
      break;
    }
    const Buffer sum = device.buffer(8);
    reduce(capture.stream(), ReduceOp::sum, contiguous(words.data(), DType::i32, {kWords}),
           contiguous(sum.data(), DType::i64, {}));
    Graph graph = capture.end();
    std::int64_t result = 0;
    for (int round = 0; round < 3; ++round) graph.launch(device.stream());
    device.stream().copy(&result, sum.data(), 8);
    device.stream().wait();
    EXPECT_EQ(result, std::int64_t{kWords});
  }
  cudaEventDestroy(there);
  cudaEventDestroy(back);
  cudaStreamDestroy(theirs);
}

TEST_F(GpuCapture, TheMemoryGoesBackAfterTheLastLaunch) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  for (int round = 0; round < 10; ++round) {
    Capture capture = device.capture();
    void* const block = device.allocate(capture.stream(), std::size_t{256} << 20);
    {
      const NativeRecorder native = capture.stream().record_native();
      ASSERT_EQ(launch_set(driver_stream(native), static_cast<std::uint32_t*>(block), 1 << 20, 1, 1'000'000),
                cudaSuccess);
    }
    device.deallocate(block);
    {
      Graph graph = capture.end();
      for (int i = 0; i < 5; ++i) graph.launch(stream);
      stream.commit();
    }
    stream.wait();
    device.trim();
    ASSERT_EQ(device.memory().committed, 0U);
    device.check_accounting();
  }
}

TEST_F(GpuCapture, WhatTheDriverCantCaptureIsToldByName) {
  Device device = Device::create("cuda:0");
  Capture capture = device.capture();
  {
    const NativeRecorder native = capture.stream().record_native();
    EXPECT_NE(cudaStreamSynchronize(driver_stream(native)), cudaSuccess);
    static_cast<void>(cudaGetLastError());
  }
  expect_rule("capture-invalidated", [&] { static_cast<void>(capture.end()); });
  EXPECT_TRUE(device.capture().end().valid());
}

// A user's own capture, in the mode that any other thread's carelessness spoils, while eight threads do
// everything.
TEST_F(GpuCapture, NothingOfOursSpoilsACaptureOfOthers) {
  Device device = Device::create("cuda:0");
  cudaStream_t theirs = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&theirs, cudaStreamNonBlocking), cudaSuccess);
  const Buffer target = device.buffer(4096);
  std::atomic<bool> over = false;
  std::atomic<std::uint64_t> rounds = 0, spoilt = 0, captures = 0;
  const std::size_t wanted = scaled(200, 10);
  on_threads(9, [&](int number) {
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    if (number == 8) {
      for (; captures < wanted; ++captures) {
        cudaGraph_t graph = nullptr;
        ASSERT_EQ(cudaStreamBeginCapture(theirs, cudaStreamCaptureModeGlobal), cudaSuccess);
        const std::uint64_t before = rounds;
        ASSERT_EQ(launch_set(theirs, target.as<std::uint32_t>(), 1024, 1), cudaSuccess);
        while (rounds < before + 8) std::this_thread::yield();
        if (cudaStreamEndCapture(theirs, &graph) != cudaSuccess) ++spoilt;
        static_cast<void>(cudaGetLastError());
        if (graph != nullptr) cudaGraphDestroy(graph);
      }
      over = true;
      return;
    }
    Stream stream = device.stream();
    std::vector<std::uint8_t> host(256 << 10);
    for (int i = 0; !over; ++i, ++rounds) {
      const Buffer buffer = device.buffer(host.size() << (i % 10));
      stream.copy(buffer.data(), host.data(), host.size());
      stream.fill(buffer.data(), static_cast<std::uint8_t>(i), 64);
      if (i % 4 == 0) stream.run("task", [] {});
      stream.copy(host.data(), buffer.data(), host.size());
      Event event = device.event();
      event.record(stream);
      stream.commit();
      event.wait();
      stream.wait();
      if (i % 16 == number) device.trim();
      if (i % 16 == 0 && number < 4) {
        Capture capture = device.capture();
        capture.stream().fill(device.allocate(capture.stream(), 4096), 1, 4096);
        capture.end().launch(stream);
      }
    }
  });
  EXPECT_EQ(spoilt, 0U);
  EXPECT_EQ(captures, wanted);
  device.synchronize();
  cudaStreamDestroy(theirs);
}

TEST_F(GpuCapture, PrioritiesAreTheDrivers) {
  Device device = Device::create("cuda:0");
  int least = 0, greatest = 0, found = 0;
  ASSERT_EQ(cudaDeviceGetStreamPriorityRange(&least, &greatest), cudaSuccess);
  StreamLease high = device.lease(StreamPriority::high);
  const NativeRecorder native = high.stream().record_native();
  ASSERT_EQ(cudaStreamGetPriority(driver_stream(native), &found), cudaSuccess);
  EXPECT_EQ(found, greatest);
}

}  // namespace
}  // namespace millrace::test
