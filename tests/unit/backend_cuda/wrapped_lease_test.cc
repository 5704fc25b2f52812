// Leases of streams that somebody else made, and what their ends leave, over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/millrace.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <thread>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/owned_stream.h"

namespace millrace::test {
namespace {

class WrappedLeases : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(2); }
  void SetUp() override { dead_before_ = fake_cuda_dead_handles(); }
  void TearDown() override {
    for (const FakeCall call : {FakeCall::stream_capturing, FakeCall::stream_query, FakeCall::event_record})
      before_fake_cuda(call, nullptr);
    EXPECT_EQ(fake_cuda_dead_handles(), dead_before_);
  }

 private:
  std::size_t dead_before_ = 0;
};

// S14
TEST_F(WrappedLeases, AStreamIsNotAskedWhetherItIsIdleAfterItsLease) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  std::atomic<bool> destroyed = false;
  std::thread owner;
  before_fake_cuda(FakeCall::stream_query, [&] {
    owner = std::thread([&] {
      lease.reset();
      owned.destroy();
      destroyed = true;
    });
    EXPECT_TRUE(remains([&] { return !destroyed; }));
  });
  device.trim();
  ASSERT_TRUE(owner.joinable());
  owner.join();
}

// S14
TEST_F(WrappedLeases, AStaleHandleIsFoundStaleBeforeTheDriverIsAsked) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  Stream stream = lease.stream();
  CommandBuffer buffer = stream.command_buffer();
  lease.reset();
  owned.destroy();
  expect_rule("stale-stream", [&] { stream.commit(); });
  expect_rule("stale-stream", [&] { stream.wait(); });
  expect_rule("stale-stream", [&] { device.event().record(stream); });
  expect_rule("stale-stream", [&] { static_cast<void>(stream.record_native()); });
  expect_rule("stale-stream", [&] { static_cast<void>(stream.query()); });
  expect_rule("commit-once", [&] { buffer.commit(); });
  device.trim();
}

// What was committed and can't be put on the stream in time is given up by name, and the stream is its
// owner's.
TEST_F(WrappedLeases, CommittedWorkThatWaitsForUncommittedWorkEndsWithTheLease) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get()), other = device.lease();
  const Buffer buffer = device.buffer(other.stream(), 64);
  other.stream().fill(buffer.data(), 1, 64);
  Event event = device.event();
  event.record(other.stream());
  lease.stream().fill(buffer.data(), 2, 64);
  CommandBuffer first = lease.stream().commit();
  lease.stream().wait_event(event);
  lease.stream().fill(buffer.data(), 3, 64);
  CommandBuffer waits = lease.stream().commit();
  lease.stream().fill(buffer.data(), 4, 64);
  CommandBuffer last = lease.stream().commit();
  lease.reset();
  owned.destroy();
  first.wait();
  expect_rule("waited-work-abandoned", [&] { waits.wait(); });
  last.wait();
  other.stream().wait();
  EXPECT_EQ(buffer.as<std::uint8_t>()[0], 1);
  device.trim();
}

TEST_F(WrappedLeases, TheEndOfALeaseBlocksUntilTheHostsPartIsDone) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  const Buffer buffer = device.buffer(lease.stream(), 64);
  std::promise<void> go;
  lease.stream().run("long", [opened = go.get_future().share()] { opened.wait(); });
  lease.stream().fill(buffer.data(), 5, 64);
  CommandBuffer committed = lease.stream().commit();
  std::atomic<bool> ended = false;
  std::chrono::nanoseconds spent{0};
  std::thread ending([&] {
    lease.reset();
    owned.destroy();
    timespec used{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    spent = std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
    ended = true;
  });
  EXPECT_TRUE(remains([&] { return !ended; }, std::chrono::milliseconds(200)));
  go.set_value();
  ending.join();
  EXPECT_LT(spent, std::chrono::milliseconds(5)) << "it looks instead of waiting";
  committed.wait();
  EXPECT_EQ(buffer.as<std::uint8_t>()[0], 5);
}

/// Of calls of that kind the next ones are left alone.
void interrupt_after(FakeCall call, int calls, const std::function<void()>& happens) {
  before_fake_cuda(call, [=] {
    if (calls == 0) return happens();
    interrupt_after(call, calls - 1, happens);
  });
}

// C7: a capture that begins while work is put on the stream is not waited for by who puts it there, who holds
// the stream's mutex, nor by the one who watches.
TEST_F(WrappedLeases, ACaptureThatBeginsWhileWorkIsPutOnTheStreamIsWaitedForByNobody) {
  for (const bool before_work : {true, false}) {
    Device device = Device::create("cuda:0");
    OwnedStream owned;
    StreamLease lease = device.wrap(owned.get()), other = device.lease();
    const Buffer buffer = device.buffer(lease.stream(), 64);
    owned.hold();
    lease.stream().fill(buffer.data(), 1, 64);
    // Asked by the commit, by who looks whether it can go ahead, and by who puts it there.
    const auto begin = [&] { begin_fake_capture(owned.get()); };
    before_work ? interrupt_after(FakeCall::stream_capturing, 2, begin)
                : interrupt_after(FakeCall::event_record, 0, begin);
    std::atomic<bool> returned = false;
    CommandBuffer committed;
    std::thread committing([&] {
      committed = lease.stream().commit();
      device.trim();  // takes the stream's mutex
      // What the watcher reports.
      other.stream().fill(buffer.data(), 2, 64);
      other.stream().wait();
      returned = true;
    });
    EXPECT_TRUE(eventually([&] { return returned.load(); }, std::chrono::milliseconds(2000))) << before_work;
    EXPECT_TRUE(end_fake_capture(owned.get()));
    committing.join();
    // What was there before is not done.
    EXPECT_TRUE(remains([&] { return committed.status() == BufferStatus::scheduled; })) << before_work;
    owned.open();
    expect_rule("captured-stream", [&] { committed.wait(); });
    expect_rule("captured-stream", [&] { lease.stream().wait(); });  // told once
    lease.stream().wait();
  }
}

TEST_F(WrappedLeases, WhatTheDriverSaysOfAStreamIsNotBlamedOnTheSlots) {
  Device device = Device::create("cuda:0", {.wrapped_streams = 1});
  OwnedStream first, second;
  StreamLease lease = device.wrap(first.get());
  first.hold();
  lease.reset();
  // Asked when it is identified, and before it is made to wait.
  interrupt_after(FakeCall::stream_capturing, 1, [&] { begin_fake_capture(second.get()); });
  expect_rule("captured-stream", [&] { static_cast<void>(device.wrap(second.get())); });
  EXPECT_TRUE(end_fake_capture(second.get()));
  lease = device.wrap(second.get());
  EXPECT_EQ(device.streams().wrapped, 1);
}

}  // namespace
}  // namespace millrace::test
