// Work that callers put on the driver's own stream, over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

CUstream driver_stream(const NativeRecorder& recorder) {
  return static_cast<CUstream>(recorder.stream());
}

/// Native work that ends when it is told to.
class Gate {
 public:
  ~Gate() { open(); }
  void put_on(CUstream stream) {
    run_on_fake_stream(stream, [opened = opened_.get_future().share()] { opened.wait(); });
  }
  void open() {
    if (!std::exchange(is_open_, true)) opened_.set_value();
  }

 private:
  std::promise<void> opened_;
  bool is_open_ = false;
};

class NativeWork : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }
  void TearDown() override { fail_fake_cuda(CUDA_SUCCESS); }

  /// Adds one to each byte, as a kernel would.
  static void add_one(const NativeRecorder& recorder, const Buffer& buffer) {
    run_on_fake_stream(driver_stream(recorder), [data = buffer.as<std::uint8_t>(), bytes = buffer.size()] {
      for (std::size_t i = 0; i < bytes; ++i) ++data[i];
    });
  }
};

TEST_F(NativeWork, RunsBetweenWhatIsRecordedBeforeAndAfter) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer buffer = device.buffer(4096), copy = device.buffer(4096);
  stream.fill(buffer.data(), 3, buffer.size());
  {
    NativeRecorder native = stream.record_native({writes(buffer.data(), buffer.size())});
    add_one(native, buffer);
    NativeRecorder moved = std::move(native);
    add_one(moved, buffer);
  }
  stream.copy(copy.data(), buffer.data(), buffer.size());
  std::uint8_t last = 0;
  stream.copy(&last, copy.as<std::uint8_t>() + 4095, 1);
  stream.wait();
  EXPECT_EQ(last, 5);
}

TEST_F(NativeWork, ComesAfterWhatTheHostHolds) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  StreamLease other = device.lease();
  const Buffer buffer = device.buffer(64);
  // A host task, then a wait for work that is committed by another thread, later.
  stream.run("set", [data = buffer.data()] { std::memset(data, 7, 64); });
  Event event = device.event();
  other.stream().fill(buffer.as<std::uint8_t>() + 63, 9, 1);
  event.record(other.stream());
  stream.wait_event(event);
  std::thread committer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    other.stream().commit();
  });
  {
    const NativeRecorder native = stream.record_native();
    add_one(native, buffer);
  }
  stream.wait();
  committer.join();
  EXPECT_EQ(buffer.as<std::uint8_t>()[0], 8);
  EXPECT_EQ(buffer.as<std::uint8_t>()[63], 10);
}

// S11: neither the value of the work nor one after it is reached before the work is done.
TEST_F(NativeWork, MemoryIsNotReusedElsewhereBeforeItIsDone) {
  enum class Fate { committed, abandoned, lease_ended };
  for (const Fate fate : {Fate::committed, Fate::abandoned, Fate::lease_ended}) {
    SCOPED_TRACE(static_cast<int>(fate));
    Device device = Device::create(
        "cuda:0", {.memory_limit = 64 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(5)});
    StreamLease lease = device.lease();
    void* const block = device.allocate(lease.stream(), 48 * kMiB);
    Gate gate;
    {
      const NativeRecorder native = lease.stream().record_native();
      gate.put_on(driver_stream(native));
    }
    device.deallocate(block);
    if (fate == Fate::committed) lease.stream().commit();
    if (fate == Fate::abandoned) lease.stream().command_buffer().abandon();
    if (fate == Fate::lease_ended) lease.reset();
    const auto take_elsewhere = [&] {
      device.deallocate(device.allocate(device.default_stream(), 48 * kMiB));
    };
    EXPECT_THROW(take_elsewhere(), OutOfMemoryError);
    gate.open();
    EXPECT_TRUE(eventually([&] {
      try {
        take_elsewhere();
        return true;
      } catch (const OutOfMemoryError&) {
        return false;
      }
    }));
  }
}

TEST_F(NativeWork, EventsAndHandlersSpeakOfIt) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  StreamLease other = device.lease();
  const Buffer buffer = device.buffer(64), seen = device.buffer(64);
  Gate gate;
  std::optional<NativeRecorder> native(stream.record_native());
  gate.put_on(driver_stream(*native));
  add_one(*native, buffer);
  expect_rule("event-inside-encoder", [&] { device.event().record(stream); });
  expect_rule("encoder-open-at-commit", [&] { stream.commit(); });
  native.reset();
  Event event = device.event();
  event.record(stream);
  std::atomic<bool> told = false;
  stream.on_completed([&](const Completion& completion) {
    EXPECT_EQ(completion.status, BufferStatus::completed);
    told = true;
  });
  stream.commit();
  other.stream().wait_event(event);
  other.stream().copy(seen.data(), buffer.data(), 64);
  other.stream().commit();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(event.query());
  EXPECT_FALSE(told);
  gate.open();
  device.synchronize();
  EXPECT_TRUE(event.query());
  EXPECT_TRUE(told);
  EXPECT_EQ(seen.as<std::uint8_t>()[5], buffer.as<std::uint8_t>()[5]);
}

// It has run, so an event after it speaks of it and not of what was given up.
TEST_F(NativeWork, IsNotGivenUpWithItsBuffer) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer buffer = device.buffer(64);
  stream.fill(buffer.data(), 1, 64);
  {
    const NativeRecorder native = stream.record_native();
    add_one(native, buffer);
  }
  Event after_native = device.event(), after_all = device.event();
  after_native.record(stream);
  stream.run("given up", [] { ADD_FAILURE() << "ran though its buffer was abandoned"; });
  after_all.record(stream);
  stream.command_buffer().abandon();
  after_native.wait();
  EXPECT_EQ(buffer.as<std::uint8_t>()[7], 2);
  expect_rule("waited-work-abandoned", [&] { after_all.wait(); });
}

// S11, where the backend has to ask whether the segment may run: it follows something that failed.
TEST_F(NativeWork, IsWaitedForByTheClose) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  stream.run("fails", [] { throw std::runtime_error("as it should"); });
  expect_code(ErrorCode::WorkFailed, [&] { stream.wait(); });
  std::atomic<bool> done = false;
  {
    const NativeRecorder native = stream.record_native();
    run_on_fake_stream(driver_stream(native), [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      done = true;
    });
  }
  device.close();
  EXPECT_TRUE(done);
}

TEST_F(NativeWork, BreaksNoRule) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  {
    Recorder recorder = stream.record();
    expect_rule("one-encoder", [&] { static_cast<void>(stream.record_native()); });
    recorder.end();
  }
  NativeRecorder native = stream.record_native();
  expect_rule("one-encoder", [&] { static_cast<void>(stream.record_native()); });
  expect_rule("one-encoder", [&] { stream.fill(&stream, 0, 1); });
  native.end();
  native.end();
  expect_rule("encode-after-end", [&] { static_cast<void>(native.stream()); });
  Stream stale;
  std::thread([&] { stale = device.stream(); }).join();
  expect_rule("stale-stream", [&] { static_cast<void>(stale.record_native()); });
  std::optional<NativeRecorder> survivor(stream.record_native());
  device.close();
  survivor->end();
  expect_code(ErrorCode::Closed, [&] { static_cast<void>(stream.record_native()); });
}

TEST_F(NativeWork, IsUnsupportedWhereThereIsNoDriver) {
  Device device = Device::create("host");
  Stream stream = device.stream();
  bool ran = false;
  stream.run("goes on", [&] { ran = true; });
  CommandBuffer buffer = stream.command_buffer();
  expect_code(ErrorCode::Unsupported, [&] { static_cast<void>(stream.record_native()); });
  EXPECT_EQ(buffer.status(), BufferStatus::recording);  // nothing has changed
  stream.wait();
  EXPECT_TRUE(ran);
}

TEST_F(NativeWork, TheStreamIsNotGivenOutOnceTheBufferIsGivenUp) {
  Device device = Device::create("cuda:0");
  StreamLease lease = device.lease();
  NativeRecorder native = lease.stream().record_native();
  lease.reset();
  expect_rule("encode-after-commit", [&] { static_cast<void>(native.stream()); });
  native.end();
  Stream stream = device.stream();
  NativeRecorder other = stream.record_native();
  stream.command_buffer().abandon();
  expect_rule("encode-after-commit", [&] { static_cast<void>(other.stream()); });
}

TEST_F(NativeWork, ALostDeviceSaysSo) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  { const NativeRecorder native = stream.record_native(); }
  fail_fake_cuda(CUDA_ERROR_ILLEGAL_ADDRESS);
  expect_code(ErrorCode::DeviceLost, [&] { stream.wait(); });
  expect_code(ErrorCode::DeviceLost, [&] { static_cast<void>(stream.record_native()); });
  device.close();
}

TEST_F(NativeWork, FromManyThreadsOnOneStream) {
  Device device = Device::create("cuda:0");
  Stream stream = device.default_stream();
  const Buffer buffer = device.buffer(stream, 64);
  stream.fill(buffer.data(), 0, 64);
  std::atomic<int> added = 0;
  on_threads(8, [&](int) {
    for (int i = 0; i < 50; ++i) {
      try {
        const NativeRecorder native = stream.record_native();
        add_one(native, buffer);
        ++added;
      } catch (const Error& error) {
        EXPECT_TRUE(error.rule() == "one-encoder" || error.rule() == "encoder-open-at-commit")
            << error.what();
      }
    }
  });
  stream.wait();
  EXPECT_GT(added, 0);
  EXPECT_EQ(buffer.as<std::uint8_t>()[63], static_cast<std::uint8_t>(added));
}

}  // namespace
}  // namespace millrace::test
