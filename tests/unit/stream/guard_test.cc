// Stream guards: what is current, for how long, and on a device in every state.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <thread>

#include "device/thread_contexts.h"
#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

TEST(StreamGuard, NestsAndRestores) {
  FakeDevice device;
  StreamLease a = device.lease(), b = device.lease();
  const Stream own = device.stream();
  {
    StreamGuard outer(a.stream());
    EXPECT_EQ(device.stream(), a.stream());
    EXPECT_EQ(outer.original(), own);
    EXPECT_EQ(outer.current(), a.stream());
    EXPECT_EQ(ThreadContexts::current_device(), device.core().id());
    {
      StreamGuard inner(b.stream());
      EXPECT_EQ(inner.original(), a.stream());
      EXPECT_EQ(device.stream(), b.stream());
      inner.set(own);
      EXPECT_EQ(device.stream(), own);
    }
    EXPECT_EQ(device.stream(), a.stream());
  }
  EXPECT_EQ(device.stream(), own);
  EXPECT_EQ(ThreadContexts::current_device(), 0u);
}

TEST(StreamGuard, TakesNoLeaseForTheThread) {
  FakeDevice device;
  StreamLease lease = device.lease();
  std::thread([&] {
    {
      StreamGuard guard(lease.stream());
      EXPECT_FALSE(guard.original().valid());
      EXPECT_EQ(device.stream(), lease.stream());
    }
    EXPECT_EQ(device.pool().stats().leased, 1);
    EXPECT_NE(device.stream(), lease.stream());
  }).join();
}

TEST(StreamGuard, OfTwoDevices) {
  FakeDevice first, second;
  StreamLease a = first.lease(), b = second.lease();
  const Stream own = first.stream();
  {
    StreamGuard guard(a.stream());
    guard.set(b.stream());
    EXPECT_EQ(first.stream(), own);
    EXPECT_EQ(second.stream(), b.stream());
    EXPECT_EQ(ThreadContexts::current_device(), second.core().id());
  }
  EXPECT_NE(second.stream(), b.stream());
  EXPECT_EQ(ThreadContexts::current_device(), 0u);
}

TEST(StreamGuard, IsTheThreadsOwn) {
  FakeDevice device(FakeDevice::few_streams(8));  // enough that nobody shares
  StreamLease lease = device.lease();
  on_threads(4, [&](int number) {
    std::optional<StreamGuard> guard;
    if (number % 2 == 0) guard.emplace(lease.stream());
    EXPECT_EQ(device.stream() == lease.stream(), number % 2 == 0);
  });
}

TEST(StreamGuard, OnAnotherThread) {
  FakeDevice device;
  StreamLease lease = device.lease();
  auto guard = std::make_unique<StreamGuard>(lease.stream());
  std::thread([&] {
    expect_rule("guard-on-other-thread", [&] { guard->set(lease.stream()); });
    guard.reset();  // leaves both threads as they are
    EXPECT_NE(device.stream(), lease.stream());
  }).join();
  EXPECT_EQ(device.stream(), lease.stream());
  ThreadContexts::set_current_device(0);
}

TEST(StreamGuard, AStaleStreamIsRefused) {
  FakeDevice device;
  StreamLease lease = device.lease();
  const Stream stale = lease.stream();
  {
    StreamGuard guard(stale);
    lease.reset();
    expect_rule("stale-stream", [&] { device.stream(); });
  }
  EXPECT_NO_THROW(device.stream());
  expect_rule("stale-stream", [&] { StreamGuard guard(stale); });
}

TEST(StreamGuard, OnAClosedDevice) {
  Stream stream;
  std::optional<StreamGuard> guard;
  {
    FakeDevice device;
    stream = device.default_stream();
    guard.emplace(stream);
    device.close();
    expect_code(ErrorCode::Closed, [&] { guard->set(stream); });
    EXPECT_EQ(guard->current(), stream);
  }
  guard.reset();
  EXPECT_EQ(ThreadContexts::current_device(), 0u);
  expect_code(ErrorCode::Closed, [&] { StreamGuard late(stream); });
}

TEST(StreamGuard, OnAClosingDevice) {
  FakeDevice device;
  Stream stream = device.default_stream();
  stream.run("work", [&] {
    // The drain waits for this task: the device is closing now.
    while (device.core().is_open()) std::this_thread::yield();
  });
  stream.commit();
  StreamGuard guard(stream);
  std::thread closer([&] { device.close(); });
  while (device.core().is_open()) std::this_thread::yield();
  EXPECT_EQ(guard.current(), stream);
  closer.join();
  expect_code(ErrorCode::Closed, [&] { guard.set(stream); });
}

// What a child process finds; exits with the number of the first check that failed.
int in_forked_child(Stream stream, StreamGuard& guard, CommandBuffer& buffer, Event& event,
                    StreamLease& lease) {
  const auto refused = [](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code() == ErrorCode::ForkedProcess;
    }
    return false;
  };
  if (!refused([&] { StreamGuard another(stream); })) return 1;
  if (!refused([&] { guard.set(stream); })) return 2;
  if (!refused([&] { stream.run("work", [] {}); })) return 3;
  if (!refused([&] { stream.commit(); })) return 4;
  if (!refused([&] { stream.wait(); })) return 5;
  if (!refused([&] { buffer.wait(); })) return 6;
  if (!refused([&] { static_cast<void>(buffer.status()); })) return 7;
  if (!refused([&] { event.record(stream); })) return 8;
  if (!refused([&] { event.wait(); })) return 9;
  if (!refused([&] { static_cast<void>(event.query()); })) return 10;
  if (!(guard.current() == stream)) return 11;
  lease.reset();
  event.reset();
  buffer = CommandBuffer();
  guard.~StreamGuard();
  return 0;
}

TEST(StreamGuard, InAForkedChild) {
  FakeDevice device;
  device.run_freely(1);
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  StreamGuard guard(stream);
  Event event = device.event();
  stream.run("work", [] {});
  event.record(stream);
  CommandBuffer buffer = stream.command_buffer();
  const pid_t child = fork();
  if (child == 0) _exit(in_forked_child(stream, guard, buffer, event, lease));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  stream.wait();  // the parent goes on
}

}  // namespace
}  // namespace millrace::test
