// What a device makes of the options that not every backend has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
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
