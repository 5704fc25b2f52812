// Out of memory while memory is pending: who waits, for how long, who does not, and the user's callback.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/test_device.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kLimit = 64 * kMiB;

TEST(OutOfMemoryWaiting, WaitsForPendingFrees) {
  const Watchdog watchdog("waiting for pending frees");
  Device device = create_test_device({.memory_limit = kLimit, .out_of_memory_wait = seconds(30)});
  StreamLease own = device.lease(), other = device.lease();
  Buffer block = device.buffer(own.stream(), 60 * kMiB);
  StreamHold hold(other.stream());
  device.record_use(block.data(), other.stream());
  block.reset();
  EXPECT_GE(device.memory().pending, 60 * kMiB);
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds(100));
    hold.open();
  });
  StreamLease third = device.lease();
  EXPECT_NO_THROW(device.buffer(third.stream(), 60 * kMiB));
  later.join();
}

TEST(OutOfMemoryWaiting, GivesUpWhenPendingFreesDoNotEnd) {
  const Watchdog watchdog("giving up on pending frees");
  Device device = create_test_device({.memory_limit = kLimit, .out_of_memory_wait = milliseconds(100)});
  StreamLease own = device.lease(), other = device.lease(), third = device.lease();
  Buffer block = device.buffer(own.stream(), 60 * kMiB);
  StreamHold hold(other.stream());
  device.record_use(block.data(), other.stream());
  block.reset();
  const auto start = Clock::now();
  std::optional<OutOfMemoryReport> report;
  try {
    device.allocate(third.stream(), 60 * kMiB);
  } catch (const OutOfMemoryError& error) {
    report = error.report();
  }
  ASSERT_TRUE(report);
  EXPECT_GE(report->pending, 60 * kMiB);
  EXPECT_GE(Clock::now() - start, milliseconds(100));
  EXPECT_LT(Clock::now() - start, seconds(20));
  hold.open();
}

TEST(OutOfMemoryWaiting, AHandlerDoesNotWait) {
  const Watchdog watchdog("out of memory in a handler");
  Device device =
      create_test_device({.memory_limit = kLimit, .workers = 2, .out_of_memory_wait = seconds(60)});
  StreamLease own = device.lease(), other = device.lease(), third = device.lease();
  Buffer block = device.buffer(own.stream(), 60 * kMiB);
  StreamHold hold(other.stream());
  device.record_use(block.data(), other.stream());
  block.reset();
  std::atomic<bool> refused = false;
  Stream stream = third.stream();
  stream.run("nothing", [] {});
  stream.on_completed([&, stream](const Completion&) {
    try {
      device.deallocate(device.allocate(stream, 60 * kMiB));
    } catch (const OutOfMemoryError&) {
      refused = true;
    }
  });
  const auto start = Clock::now();
  stream.wait(seconds(30));
  while (device.streams().handlers_run < 1 && Clock::now() - start < seconds(30)) std::this_thread::yield();
  EXPECT_TRUE(refused);
  EXPECT_LT(Clock::now() - start, seconds(30));
  hold.open();
  device.synchronize();
}

TEST(OutOfMemoryWaiting, AsksTheCallbackWithNoLockHeld) {
  const Watchdog watchdog("the out-of-memory callback");
  Buffer reserve;
  std::size_t asked = 0;
  int calls = 0;
  Device* self = nullptr;
  DeviceOptions options{.memory_limit = kLimit, .out_of_memory_wait = milliseconds(10)};
  options.on_out_of_memory = [&](std::size_t requested) {
    asked = requested;
    ++calls;
    // Whatever the device can do may be done here, by other threads too.
    std::thread([&] { self->deallocate(self->allocate(1000)); }).join();
    static_cast<void>(self->memory());
    const bool had = reserve.data() != nullptr;
    reserve.reset();
    return had;
  };
  Device device = create_test_device(options);
  self = &device;
  reserve = device.buffer(40 * kMiB);
  Buffer second = device.buffer(30 * kMiB + 1);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(asked, 30 * kMiB + 1);
  EXPECT_EQ(reserve.data(), nullptr);
  // The callback has nothing more to give.
  expect_code(ErrorCode::OutOfMemory, [&] { device.allocate(40 * kMiB); });
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace millrace::test
