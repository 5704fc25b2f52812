// What a device makes of the options that not every backend has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <optional>

#include "support/expect_error.h"
#include "support/test_device.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

void expect_taken_or_refused(const DeviceOptions& options, const char* option) {
  const Watchdog watchdog(option);
  if (on_host_backend()) {
    EXPECT_NO_THROW(create_test_device(options));
    return;
  }
  // Never ignored: who asks for a debug mode is not to believe that it looked.
  const std::optional<Error> error = error_of([&] { create_test_device(options); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::Unsupported) << error->what();
  EXPECT_THAT(error->message(), testing::HasSubstr(option));
}

TEST(Options, ChaosIsTakenOrRefusedByName) {
  expect_taken_or_refused({.chaos = 1}, "chaos");
}
TEST(Options, ProtectIsTakenOrRefusedByName) {
  expect_taken_or_refused({.protect = true}, "protect");
}

TEST(Options, TheLimitIsTheSmallerOfBytesAndFraction) {
  const Watchdog watchdog("limits by fraction");
  const std::size_t all = create_test_device().info().memory_bytes;
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  const auto limit_of = [](const DeviceOptions& options) {
    return create_test_device(options).memory().limit;
  };
  const std::size_t tenth = limit_of({.memory_fraction = 0.1});
  EXPECT_LE(tenth, all / 10 + 1);
  EXPECT_GT(tenth, all / 10 - 4 * kMiB);
  EXPECT_EQ(limit_of({.memory_limit = 64 * kMiB, .memory_fraction = 0.5}), 64 * kMiB);
  EXPECT_EQ(limit_of({.memory_limit = all, .memory_fraction = 0.1}), tenth);
  EXPECT_EQ(limit_of({.memory_limit = 64 * kMiB, .memory_fraction = 1}), 64 * kMiB);

  Device device = create_test_device();
  device.set_memory_fraction(0.1);
  EXPECT_EQ(device.memory().limit, tenth);
  expect_code(ErrorCode::OutOfMemory, [&] { device.allocate(tenth + 1); });
  const Buffer held = device.buffer(64 * kMiB);
  expect_code(ErrorCode::OutOfMemory,
              [&] { device.set_memory_fraction(32.0 * kMiB / static_cast<double>(all)); });
  EXPECT_EQ(device.memory().limit, tenth);
}

TEST(Options, WhatIsNoFractionIsRefused) {
  const Watchdog watchdog("fractions that are none");
  Device device = create_test_device();
  const std::size_t limit = device.memory().limit;
  for (const double fraction :
       {0.0, -0.5, 1.01, 1e-12, std::numeric_limits<double>::infinity(), std::nan("")}) {
    const std::optional<Error> error = error_of([&] { create_test_device({.memory_fraction = fraction}); });
    ASSERT_TRUE(error) << fraction;
    EXPECT_EQ(error->code(), ErrorCode::InvalidArgument) << error->what();
    EXPECT_THAT(error->message(), testing::HasSubstr("memory_fraction"));
    expect_code(ErrorCode::InvalidArgument, [&] { device.set_memory_fraction(fraction); });
  }
  EXPECT_EQ(device.memory().limit, limit);
}

TEST(Options, OneWorkerRunsTheTasksOfAllStreams) {
  const Watchdog watchdog("one worker");
  Device device = create_test_device({.workers = 1});
  EXPECT_TRUE(device.info().host_tasks);
  StreamLease leases[3] = {device.lease(), device.lease(), device.lease()};
  std::atomic<int> ran = 0;
  for (const StreamLease& lease : leases) {
    lease.stream().run("task", [&] { ++ran; });
    lease.stream().commit();
  }
  device.synchronize();
  EXPECT_EQ(ran, 3);
}

}  // namespace
}  // namespace millrace::test
