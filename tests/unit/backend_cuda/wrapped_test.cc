// Streams that somebody else made, over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "support/can_take.h"
#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/owned_stream.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

class Wrapped : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(2); }
  void TearDown() override { fail_fake_cuda(CUDA_SUCCESS); }

  static Device small_device() {
    return Device::create("cuda:0",
                          {.memory_limit = 64 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(5)});
  }
};

TEST_F(Wrapped, IsAStreamAsAnyOther) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  Stream stream = lease.stream();
  const Buffer buffer = device.buffer(stream, 4096);
  stream.fill(buffer.data(), 3, 4096);
  bool told = false;
  stream.on_completed(
      [&](const Completion& completion) { told = completion.status == BufferStatus::completed; });
  stream.commit();
  // What the owner puts there comes after it.
  run_on_fake_stream(owned.get(), [data = buffer.as<std::uint8_t>()] { ++data[7]; });
  std::uint8_t seen = 0;
  stream.copy(&seen, buffer.as<std::uint8_t>() + 7, 1);
  Event event = device.event();
  event.record(stream);
  StreamLease other = device.lease();
  other.stream().wait_event(event);
  other.stream().fill(buffer.data(), 9, 4096);
  stream.commit();
  other.stream().wait();
  stream.wait();
  EXPECT_EQ(seen, 4);
  EXPECT_EQ(buffer.as<std::uint8_t>()[7], 9);
  device.synchronize();
  EXPECT_TRUE(told);
  EXPECT_EQ(device.streams().wrapped, 1);
  EXPECT_EQ(device.streams().most_wrapped, 32);
  {
    const NativeRecorder native = stream.record_native();
    EXPECT_EQ(native.stream(), owned.get());
  }
  lease.reset();
  EXPECT_EQ(device.streams().wrapped, 0);
  expect_rule("stale-stream", [&] { stream.fill(buffer.data(), 1, 1); });
}

// S13
TEST_F(Wrapped, IsKnownByTheDriversNumberAndNotByItsHandle) {
  Device device = Device::create("cuda:0");
  OwnedStream first;
  StreamLease lease = device.wrap(first.get());
  StreamLease again = device.wrap(first.get());
  EXPECT_EQ(again.stream(), lease.stream());
  lease.reset();
  StreamLease still = device.wrap(first.get());
  EXPECT_EQ(still.stream(), again.stream());
  const CUstream handle = first.get();
  first.destroy();
  OwnedStream second;
  ASSERT_EQ(second.get(), handle);
  StreamLease other = device.wrap(second.get());
  EXPECT_NE(other.stream().id(), again.stream().id());
  expect_rule("destroyed-stream", [&] { again.stream().wait(); });
  other.stream().wait();
  EXPECT_EQ(device.streams().wrapped, 2);
}

TEST_F(Wrapped, MemoryIsReusedByTheStreamsOwnOrderWithoutTheDriver) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  owned.hold();
  void* const first = device.allocate(lease.stream(), 4096);
  device.deallocate(first);
  const std::size_t before = fake_cuda_calls();
  for (int i = 0; i < 1000; ++i) {
    void* const block = device.allocate(lease.stream(), 4096);
    EXPECT_EQ(block, first);
    device.deallocate(block);
  }
  EXPECT_EQ(fake_cuda_calls(), before);
}

// A1, S12: in every way in which memory comes to somebody else, the owner's work is waited for.
TEST_F(Wrapped, MemoryIsNotReusedElsewhereBeforeTheOwnersWorkIsDone) {
  enum class End { none, lease_ended };
  for (const End end : {End::none, End::lease_ended}) {
    Device device = small_device();
    OwnedStream owned;
    StreamLease lease = device.wrap(owned.get());
    void* const block = device.allocate(lease.stream(), 48 * kMiB);
    owned.hold();
    device.deallocate(block);
    if (end == End::lease_ended) lease.reset();
    EXPECT_FALSE(can_take(device, device.default_stream(), 48 * kMiB));
    EXPECT_EQ(device.trim(), 0U);
    owned.open();
    EXPECT_TRUE(eventually([&] { return can_take(device, device.default_stream(), 48 * kMiB); }));
    device.check_accounting();
  }
}

TEST_F(Wrapped, FreedMemoryGoesBackOnceTheStreamIsIdle) {
  Device device = small_device();
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  device.deallocate(device.allocate(lease.stream(), 48 * kMiB));
  EXPECT_TRUE(eventually([&] { return device.trim(), device.memory().committed == 0; }));
}

TEST_F(Wrapped, UsesAreCoveredWithoutACommit) {
  for (const bool until_free : {false, true}) {
    Device device = small_device();
    OwnedStream owned;
    StreamLease lease = device.wrap(owned.get());
    StreamLease own = device.lease();
    void* const block = device.allocate(own.stream(), 48 * kMiB);
    if (until_free) device.record_stream(block, lease.stream());
    owned.hold();
    if (!until_free) device.record_use(block, lease.stream());
    device.deallocate(block);
    // On its own stream the allocator may only wait for the use, on the device.
    std::atomic<bool> ran = false;
    void* const next = device.allocate(own.stream(), 48 * kMiB);
    EXPECT_EQ(next, block);
    own.stream().run("uses it", [&] { ran = true; });
    own.stream().commit();
    EXPECT_TRUE(remains([&] { return !ran; }));
    owned.open();
    own.stream().wait();
    EXPECT_TRUE(ran);
  }
}

TEST_F(Wrapped, MemoryThatAnotherStreamUsesIsReusedAfterAWaitThatIsThereAtOnce) {
  Device device = small_device();
  OwnedStream owned, other;
  StreamLease lease = device.wrap(owned.get()), user = device.wrap(other.get());
  void* const block = device.allocate(lease.stream(), 48 * kMiB);
  other.hold();
  device.record_use(block, user.stream());
  device.deallocate(block);
  void* const next = device.allocate(lease.stream(), 48 * kMiB);
  EXPECT_EQ(next, block);
  // The owner's work comes right after, and nothing is committed.
  std::atomic<bool> ran = false;
  run_on_fake_stream(owned.get(), [&] { ran = true; });
  EXPECT_TRUE(remains([&] { return !ran; }));
  other.open();
  EXPECT_TRUE(eventually([&] { return ran.load(); }));
}

// A wait that would come too late for the owner's work is not relied on.
TEST_F(Wrapped, NoWaitIsReliedOnThatIsNotOnTheStreamYet) {
  Device device = small_device();
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get()), user = device.lease();
  const Buffer small = device.buffer(lease.stream(), 4096);
  void* const block = device.allocate(lease.stream(), 48 * kMiB);
  std::promise<void> go;
  user.stream().run("uses it", [opened = go.get_future().share()] { opened.wait(); });
  user.stream().commit();  // the host's: the device can't wait for it
  device.record_use(block, user.stream());
  device.deallocate(block);
  EXPECT_FALSE(can_take(device, lease.stream(), 48 * kMiB));
  go.set_value();
  user.stream().wait();
  EXPECT_TRUE(can_take(device, lease.stream(), 48 * kMiB));
}

// What was recorded comes on the stream with the commit: until then its memory is not for the owner's work.
TEST_F(Wrapped, MemoryOfUncommittedWorkIsNotReusedBeforeThatWasDone) {
  Device device = small_device();
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  void* const block = device.allocate(lease.stream(), 48 * kMiB);
  lease.stream().fill(block, 1, 48 * kMiB);
  device.deallocate(block);
  EXPECT_FALSE(can_take(device, lease.stream(), 48 * kMiB));
  lease.stream().wait();
  EXPECT_TRUE(can_take(device, lease.stream(), 48 * kMiB));
}

TEST_F(Wrapped, WaitsQueriesAndEventsSpeakOfTheOwnersWork) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get()), other = device.lease();
  EXPECT_TRUE(lease.stream().query());
  std::atomic<bool> done = false, after = false;
  owned.hold();
  run_on_fake_stream(owned.get(), [&] { done = true; });
  EXPECT_FALSE(lease.stream().query());
  Event event = device.event();
  event.record(lease.stream());  // nobody commits it
  EXPECT_FALSE(event.query());
  other.stream().wait_event(event);
  other.stream().run("after", [&] { after = done.load(); });
  other.stream().commit();
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    owned.open();
  });
  lease.stream().wait();
  EXPECT_TRUE(done);
  EXPECT_TRUE(lease.stream().query());
  event.wait();
  other.stream().wait();
  EXPECT_TRUE(after);
  opener.join();
}

// C7: what is the host's, and what was given up, takes its turn behind the owner's work as well.
TEST_F(Wrapped, HostTasksAndAbandonedBuffersComeAfterTheOwnersWork) {
  for (const bool abandon : {false, true}) {
    Device device = small_device();
    OwnedStream owned;
    StreamLease lease = device.wrap(owned.get());
    void* const block = device.allocate(lease.stream(), 48 * kMiB);
    owned.hold();
    device.deallocate(block);
    std::atomic<bool> ran = false;
    lease.stream().run("after", [&] { ran = true; });
    if (abandon) {
      lease.stream().command_buffer().abandon();
    } else {
      lease.stream().commit();
    }
    EXPECT_TRUE(remains([&] { return !ran; }));
    EXPECT_FALSE(can_take(device, device.default_stream(), 48 * kMiB));
    owned.open();
    EXPECT_TRUE(eventually([&] { return can_take(device, device.default_stream(), 48 * kMiB); }));
    lease.stream().wait();
    EXPECT_EQ(ran, !abandon);
  }
}

TEST_F(Wrapped, SynchronizeAndCloseWaitForTheOwnersWork) {
  for (const bool close : {false, true}) {
    Device device = Device::create("cuda:0");
    OwnedStream owned;
    StreamLease lease = device.wrap(owned.get());
    std::atomic<bool> done = false;
    run_on_fake_stream(owned.get(), [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      done = true;
    });
    close ? device.close() : device.synchronize();
    EXPECT_TRUE(done);
  }
}

TEST_F(Wrapped, ASlotThatBecomesAnotherStreamRunsAfterTheOneBefore) {
  Device device = Device::create("cuda:0", {.wrapped_streams = 1});
  OwnedStream first, second;
  StreamLease lease = device.wrap(first.get());
  expect_code(ErrorCode::PoolExhausted, [&] { static_cast<void>(device.wrap(second.get())); });
  void* const block = device.allocate(lease.stream(), kMiB);
  first.hold();
  device.deallocate(block);
  lease.reset();
  StreamLease next = device.wrap(second.get());
  EXPECT_EQ(device.allocate(next.stream(), kMiB), block);
  std::atomic<bool> ran = false;
  run_on_fake_stream(second.get(), [&] { ran = true; });
  EXPECT_TRUE(remains([&] { return !ran; }));
  first.open();
  EXPECT_TRUE(eventually([&] { return ran.load(); }));
}

TEST_F(Wrapped, ADestroyedStreamIsToldByNameAndItsWorkStillWaitedFor) {
  Device device = small_device();
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  Stream stream = lease.stream();
  void* const block = device.allocate(stream, 48 * kMiB);
  stream.fill(block, 1, 64);
  std::promise<void> go;
  std::atomic<bool> done = false;
  run_on_fake_stream(owned.get(), [&, opened = go.get_future().share()] {
    opened.wait();
    done = true;
  });
  owned.destroy();
  expect_rule("destroyed-stream", [&] { stream.commit(); });
  expect_rule("destroyed-stream", [&] { stream.wait(); });
  expect_rule("destroyed-stream", [&] { device.event().record(stream); });
  expect_rule("destroyed-stream", [&] { static_cast<void>(stream.record_native()); });
  EXPECT_TRUE(stream.query());
  stream.command_buffer().abandon();
  device.deallocate(block);
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    go.set_value();
  });
  EXPECT_TRUE(eventually([&] { return can_take(device, device.default_stream(), 48 * kMiB); }));
  EXPECT_TRUE(done);
  opener.join();
  lease.reset();
  device.close();
}

TEST_F(Wrapped, ACapturedStreamIsToldByNameAndMemoryWaitsForItsEnd) {
  Device device = small_device();
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  Stream stream = lease.stream();
  void* const block = device.allocate(stream, 48 * kMiB);
  stream.fill(block, 1, 64);
  begin_fake_capture(owned.get());
  expect_rule("captured-stream", [&] { static_cast<void>(device.wrap(owned.get())); });
  expect_rule("captured-stream", [&] { stream.commit(); });
  expect_rule("captured-stream", [&] { stream.wait(); });
  expect_rule("captured-stream", [&] { device.event().record(stream); });
  stream.command_buffer().abandon();
  device.deallocate(block);
  EXPECT_FALSE(can_take(device, device.default_stream(), 48 * kMiB));
  EXPECT_TRUE(end_fake_capture(owned.get()));
  EXPECT_TRUE(eventually([&] { return can_take(device, device.default_stream(), 48 * kMiB); }));
  stream.wait();
}

// C7: the marks of the lease's end wait for the capture's, and then for the work before it.
TEST_F(Wrapped, ALeaseThatEndsInsideACaptureSpoilsNothingAndMemoryWaits) {
  Device device = small_device();
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  void* const block = device.allocate(lease.stream(), 48 * kMiB);
  std::promise<void> go;
  std::atomic<bool> done = false;
  run_on_fake_stream(owned.get(), [&done, opened = go.get_future().share()] {
    opened.wait();
    done = true;
  });
  begin_fake_capture(owned.get());
  device.deallocate(block);
  lease.reset();
  EXPECT_FALSE(can_take(device, device.default_stream(), 48 * kMiB));
  EXPECT_TRUE(end_fake_capture(owned.get()));
  EXPECT_FALSE(can_take(device, device.default_stream(), 48 * kMiB));
  go.set_value();
  EXPECT_TRUE(eventually([&] { return can_take(device, device.default_stream(), 48 * kMiB); }));
  EXPECT_TRUE(done);
}

// C15: the driver's number can't be asked for then, and is not needed.
TEST_F(Wrapped, OneThatLastsMayBeWrappedWhileItIsCaptured) {
  OwnedStream owned;
  Device device = small_device();
  begin_fake_capture(owned.get());
  const StreamLease lease = device.wrap(owned.get(), StreamLifetime::device);
  const StreamLease again = device.wrap(owned.get(), StreamLifetime::device);
  Stream stream = lease.stream();
  EXPECT_EQ(again.stream(), stream);
  // Memory for it, which its capture keeps from others.
  void* const block = device.allocate(stream, 48 * kMiB);
  expect_rule("captured-stream", [&] { stream.wait(); });
  device.deallocate(block);
  EXPECT_FALSE(can_take(device, device.default_stream(), 48 * kMiB));
  EXPECT_TRUE(end_fake_capture(owned.get()));
  EXPECT_TRUE(eventually([&] { return can_take(device, device.default_stream(), 48 * kMiB); }));
  // Whoever wraps it later has the same, with the promise and without.
  const StreamLease lasting = device.wrap(owned.get(), StreamLifetime::device),
                    other = device.wrap(owned.get());
  EXPECT_EQ(lasting.stream(), stream);
  EXPECT_EQ(other.stream(), stream);
  std::atomic<bool> done = false;
  run_on_fake_stream(owned.get(), [&] { done = true; });
  stream.wait();
  EXPECT_TRUE(done);
}

TEST_F(Wrapped, OneThatLastsIsTheSameAsBeforeThePromise) {
  OwnedStream owned, unnamed;
  Device device = Device::create("cuda:0");
  const StreamLease lease = device.wrap(owned.get()), before = device.wrap(unnamed.get());
  const StreamLease lasting = device.wrap(owned.get(), StreamLifetime::device);
  EXPECT_EQ(lasting.stream(), lease.stream());
  begin_fake_capture(owned.get());
  EXPECT_EQ(device.wrap(owned.get(), StreamLifetime::device).stream(), lease.stream());
  EXPECT_TRUE(end_fake_capture(owned.get()));
  // One that nothing was promised of may have gone: then the handle says nothing.
  begin_fake_capture(unnamed.get());
  const StreamLease inside = device.wrap(unnamed.get(), StreamLifetime::device);
  EXPECT_NE(inside.stream(), before.stream());
  EXPECT_TRUE(end_fake_capture(unnamed.get()));
  // Both are in the order of the one that they are.
  const Buffer buffer = device.buffer(inside.stream(), 64);
  inside.stream().fill(buffer.data(), 1, 64);
  inside.stream().commit();
  Event filled = device.event();
  filled.record(inside.stream());
  before.stream().wait_event(filled);
  before.stream().fill(buffer.data(), 2, 64);
  device.record_stream(buffer.data(), before.stream());
  before.stream().commit();
  before.stream().wait();
}

TEST_F(Wrapped, OneThatLastsIsThisDevicesAlsoWhileItIsCaptured) {
  OwnedStream elsewhere(1);
  Device device = Device::create("cuda:0"), other = Device::create("cuda:1");
  const auto wrapped = [&] { static_cast<void>(device.wrap(elsewhere.get(), StreamLifetime::device)); };
  expect_code(ErrorCode::InvalidArgument, wrapped);
  begin_fake_capture(elsewhere.get());
  expect_code(ErrorCode::InvalidArgument, wrapped);
  EXPECT_TRUE(end_fake_capture(elsewhere.get()));
  expect_rule("per-thread-default-stream",
              [&] { static_cast<void>(device.wrap(CU_STREAM_PER_THREAD, StreamLifetime::device)); });
  // Each device has a legacy default stream of its own.
  const StreamLease here = device.wrap(nullptr, StreamLifetime::device);
  const StreamLease there = other.wrap(CU_STREAM_LEGACY, StreamLifetime::device);
  EXPECT_EQ(here.stream(), device.wrap(CU_STREAM_LEGACY).stream());
  EXPECT_EQ(there.stream(), other.wrap(nullptr).stream());
}

TEST_F(Wrapped, OneThatIsCapturedTakesASlotThatIsDone) {
  OwnedStream first, second, captured;
  Device device = Device::create("cuda:0", {.wrapped_streams = 2});
  StreamLease one = device.wrap(first.get()), two = device.wrap(second.get());
  two.reset();
  device.synchronize();
  first.hold();
  one.reset();  // the next slot in turn is one that a stream would have to wait for
  begin_fake_capture(captured.get());
  const StreamLease lease = device.wrap(captured.get(), StreamLifetime::device);
  EXPECT_TRUE(end_fake_capture(captured.get()));
  first.open();
}

// C12: other threads' frees and questions come to the stream before its captures and after them.
TEST_F(Wrapped, CapturesThatAreExpectedAreSpoiltByNobody) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  const StreamLease lease = device.wrap(owned.get());
  const Stream stream = lease.stream();
  std::atomic<int> spoilt = 0, left = 1;
  on_threads(5, [&](int number) {
    if (number != 0) {
      while (left != 0) {
        void* const block = device.allocate(4096);
        device.record_stream(block, stream);
        device.deallocate(block);
        static_cast<void>(stream.query());
      }
      return;
    }
    for (int i = 0; i < 300; ++i) {
      run_on_fake_stream(owned.get(), [] {});
      stream.expect_capture();
      begin_fake_capture(owned.get());
      if (!end_fake_capture(owned.get())) ++spoilt;
      stream.capture_over();
    }
    left = 0;
  });
  EXPECT_EQ(spoilt, 0);
  device.synchronize();
}

TEST_F(Wrapped, AnExpectedCaptureThatNeverBeginsIsForgotten) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  const StreamLease lease = device.wrap(owned.get());
  Stream stream = lease.stream();
  const Buffer buffer = device.buffer(stream, 64);
  stream.expect_capture();
  stream.fill(buffer.data(), 1, 64);
  expect_rule("captured-stream", [&] { stream.commit(); });
  EXPECT_TRUE(eventually([&] {
    try {
      return stream.commit(), true;
    } catch (const Error&) {
      return false;
    }
  }));
  stream.wait();
  stream.expect_capture();
  stream.capture_over();
  stream.fill(buffer.data(), 2, 64);
  stream.commit();
  stream.wait();
  device.stream().expect_capture();  // not one of others
  device.stream().capture_over();
}

TEST_F(Wrapped, TheLegacyDefaultStreamIsOneAndThePerThreadOneIsRefused) {
  Device device = Device::create("cuda:0");
  StreamLease lease = device.wrap(nullptr), same = device.wrap(CU_STREAM_LEGACY);
  EXPECT_EQ(lease.stream(), same.stream());
  std::atomic<bool> done = false;
  run_on_fake_stream(CU_STREAM_LEGACY, [&] { done = true; });
  lease.stream().wait();
  EXPECT_TRUE(done);
  expect_rule("per-thread-default-stream", [&] { static_cast<void>(device.wrap(CU_STREAM_PER_THREAD)); });
}

TEST_F(Wrapped, StreamsOfOthersAreRefused) {
  Device device = Device::create("cuda:0");
  OwnedStream elsewhere(1);
  expect_code(ErrorCode::InvalidArgument, [&] { static_cast<void>(device.wrap(elsewhere.get())); });
  const CUstream gone = elsewhere.get();
  elsewhere.destroy();
  expect_code(ErrorCode::InvalidArgument, [&] { static_cast<void>(device.wrap(gone)); });
  Device host = Device::create("host");
  EXPECT_FALSE(host.info().driver_streams);
  EXPECT_EQ(host.streams().most_wrapped, 0);
  expect_code(ErrorCode::Unsupported, [&] { static_cast<void>(host.wrap(gone)); });
  device.close();
  expect_code(ErrorCode::Closed, [&] { static_cast<void>(device.wrap(nullptr)); });
}

TEST_F(Wrapped, ALostDeviceSaysSo) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  lease.stream().fill(device.allocate(lease.stream(), 64), 1, 64);
  fail_fake_cuda(CUDA_ERROR_ILLEGAL_ADDRESS);
  expect_code(ErrorCode::DeviceLost, [&] {
    lease.stream().commit();
    lease.stream().wait();
  });
  lease.reset();
  device.close();
}

// The pattern in each block says whether it was given to two at once.
TEST_F(Wrapped, ManyThreadsShareAFewOfThem) {
  Device device = Device::create("cuda:0", {.memory_limit = 256 * kMiB, .wrapped_streams = 3});
  std::vector<std::unique_ptr<OwnedStream>> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(std::make_unique<OwnedStream>());
  std::atomic<int> wrong = 0, refused = 0;
  on_threads(8, [&](int number) {
    for (int i = 0; i < 200; ++i) {
      OwnedStream& owned = *streams[static_cast<std::size_t>(number + i) % 3];
      StreamLease lease = device.wrap(owned.get());
      const std::size_t bytes = (static_cast<std::size_t>(number) + 1) << (10 + i % 12);
      std::uint8_t* block = nullptr;
      try {
        block = static_cast<std::uint8_t*>(device.allocate(lease.stream(), bytes));
      } catch (const OutOfMemoryError&) {
        ++refused;
        continue;
      }
      const auto value = static_cast<std::uint8_t>(number * 31 + i);
      run_on_fake_stream(owned.get(), [=, &wrong] {
        std::memset(block, value, bytes);
        if (i % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
        if (block[0] != value || block[bytes - 1] != value) ++wrong;
      });
      if (i % 3 == 0) {
        StreamLease other = device.lease();
        Event event = device.event();
        event.record(lease.stream());
        other.stream().wait_event(event);
        other.stream().fill(block, value, bytes);
        other.stream().commit();
        device.record_use(block, other.stream());
      }
      device.deallocate(block);
      if (i % 50 == 0) device.trim();
    }
  });
  device.synchronize();
  EXPECT_EQ(wrong, 0);
  device.check_accounting();
  EXPECT_TRUE(eventually([&] { return device.trim(), device.memory().committed == 0; }));
}

}  // namespace
}  // namespace millrace::test
