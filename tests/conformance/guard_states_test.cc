// Every method of guards, and of what is used through them, on an open, closing, closed and forked device:
// each does what it says, or says that it can't.
#include <gtest/gtest.h>
#include <millrace/millrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>

#include "conformance/guard_table.h"
#include "support/eventually.h"
#include "support/held_stream.h"
#include "support/test_device.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

enum class DeviceState : std::uint8_t { open, closing, closed, forked };

/// What is wrong with how the method behaved in that state; empty if nothing.
std::string verdict(const Row& row, Subject& subject, DeviceState state) {
  try {
    row.call(subject);
  } catch (const Error& error) {
    const ErrorCode expected = state == DeviceState::forked ? ErrorCode::ForkedProcess : ErrorCode::Closed;
    if (state == DeviceState::open || row.then == Then::not_throw)
      return std::string("threw ") + error.what();
    if (error.code() != expected) return std::string("gave another reason: ") + error.what();
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
  const bool must_refuse = state == DeviceState::closed || state == DeviceState::forked;
  return must_refuse && row.then == Then::refuse ? "was not refused" : "";
}

/// All rows in that state; returns how many did wrong, each named on standard error.
int run_table(Subject& subject, DeviceState state, const std::function<void()>& before_waiting) {
  int wrong = 0;
  for (const auto& rows : {guard_rows(), device_rows(), stream_rows(), event_rows(), ending_rows()}) {
    for (const Row& row : rows) {
      if (row.waits_for_everything) before_waiting();
      const std::string what = verdict(row, subject, state);
      if (what.empty()) continue;
      ++wrong;
      std::fprintf(stderr, "%s: %s\n", row.method, what.c_str());
    }
  }
  return wrong;
}

void nothing() {}

struct GuardStates : testing::Test {
  const Watchdog watchdog{"the table of guards"};
  Device device = Device::create(test_device_name(21), {.workers = 2});
};

TEST_F(GuardStates, Open) {
  Subject subject(device);
  EXPECT_EQ(run_table(subject, DeviceState::open, nothing), 0);
}

TEST_F(GuardStates, Closing) {
  Subject subject(device);
  StreamLease lease = device.lease();
  StreamHold hold(lease.stream());
  std::thread closer([&] { device.close(); });
  ASSERT_TRUE(eventually([&] { return !device.is_open(); }));
  EXPECT_EQ(run_table(subject, DeviceState::closing, [&] { hold.open(); }), 0);
  closer.join();
}

TEST_F(GuardStates, Closed) {
  Subject subject(device);
  device.close();
  EXPECT_EQ(run_table(subject, DeviceState::closed, nothing), 0);
}

TEST_F(GuardStates, Forked) {
  Subject subject(device);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);  // a hang is a failure
    const int wrong = run_table(subject, DeviceState::forked, nothing);
    std::fflush(nullptr);
    ::_exit(wrong);
  }
  ASSERT_GT(child, 0);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) ASSERT_EQ(errno, EINTR);
  ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "methods, named above, did wrong in the child";
  // The parent notices nothing.
  EXPECT_EQ(run_table(subject, DeviceState::open, nothing), 0);
}

}  // namespace
}  // namespace millrace::test
