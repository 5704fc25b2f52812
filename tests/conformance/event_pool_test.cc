// Events and the pool that they come from: generations, failures, reuse, and what ends in the wrong order.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

Device small_device() {
  return Device::create("host", {.streams = 32, .workers = 4});
}

/// Three streams and an event of one device.
struct EventPool : testing::Test {
  const Watchdog watchdog{"a test of events"};
  Device device = small_device();
  StreamLease leases[3] = {device.lease(), device.lease(), device.lease()};
  Stream a = leases[0].stream(), b = leases[1].stream(), c = leases[2].stream();
  Event event = device.event();

  /// Commits a task to the stream that only marks that it ran.
  CommandBuffer mark(Stream stream, std::atomic<bool>& ran) {
    stream.run("mark", [&ran] { ran = true; });
    return stream.commit();
  }
};

TEST_F(EventPool, NeverRecordedCountsAsDone) {
  EXPECT_TRUE(event.query());
  EXPECT_EQ(event.generation(), 0u);
  event.wait();
  event.wait(nanoseconds(1));
  std::atomic<bool> ran = false;
  a.wait_event(event);
  mark(a, ran).wait(kLimit);
  EXPECT_TRUE(ran);
}

TEST_F(EventPool, MarksWhatWasRecordedBefore) {
  StreamHold hold(a);
  event.record(a);
  a.commit();
  StreamHold later(a);
  EXPECT_FALSE(event.query());
  EXPECT_EQ(event.generation(), 1u);
  expect_code(ErrorCode::TimedOut, [&] { event.wait(milliseconds(5)); });
  hold.open();
  event.wait(kLimit);
  EXPECT_TRUE(event.query());
  EXPECT_FALSE(a.query());
}

TEST_F(EventPool, WaitsForWorkThatIsCommittedLater) {
  std::atomic<bool> first = false, second = false;
  a.run("mark", [&] { first = true; });
  event.record(a);
  b.wait_event(event);
  b.run("mark", [&] {
    EXPECT_TRUE(first);
    second = true;
  });
  CommandBuffer held = b.commit();
  EXPECT_EQ(held.status(), BufferStatus::committed);
  EXPECT_TRUE(remains([&] { return !second && !event.query(); }));
  std::thread waiter([&] { event.wait(kLimit); });
  a.commit();
  held.wait(kLimit);
  waiter.join();
  EXPECT_TRUE(second);
}

TEST_F(EventPool, AWaiterKeepsTheGenerationThatItWaitsFor) {
  StreamHold first(a), second(b);
  event.record(a);
  a.commit();
  c.wait_event(event);  // generation 1
  std::atomic<bool> ran = false;
  CommandBuffer waiting = mark(c, ran);
  event.record(b);
  b.commit();
  EXPECT_EQ(event.generation(), 2u);
  second.open();
  event.wait(kLimit);  // generation 2 is done
  EXPECT_TRUE(remains([&] { return !ran; }));
  first.open();
  waiting.wait(kLimit);

  // And the other way round: a waiter of the old generation does not wait for the new one.
  StreamHold third(a), fourth(b);
  event.record(a);
  a.commit();
  c.wait_event(event);
  event.record(b);
  b.commit();
  ran = false;
  waiting = mark(c, ran);
  third.open();
  waiting.wait(kLimit);
  EXPECT_FALSE(event.query());
}

TEST_F(EventPool, ADestroyedEventIsStillWaitedFor) {
  StreamHold hold(a);
  event.record(a);
  a.commit();
  b.wait_event(event);
  std::atomic<bool> ran = false;
  CommandBuffer waiting = mark(b, ran);
  event = Event();
  EXPECT_FALSE(event.valid());
  // Whoever gets its place in the pool gets a new event.
  std::vector<Event> next;
  for (int i = 0; i < 100; ++i) {
    next.push_back(device.event());
    EXPECT_TRUE(next.back().query());
    EXPECT_EQ(next.back().generation(), 0u);
    next.back().record(c);
  }
  c.wait(kLimit);
  EXPECT_TRUE(remains([&] { return !ran; }));
  hold.open();
  waiting.wait(kLimit);
}

TEST_F(EventPool, FailedWorkReleasesItsWaitersWithTheError) {
  StreamHold hold(a);
  a.run("divide", [] { throw std::runtime_error("no remainder of zero"); });
  event.record(a);
  a.commit();
  std::atomic<bool> ran = false;
  b.wait_event(event);
  CommandBuffer dependent = mark(b, ran);
  c.wait_event(event);
  Event of_dependent = device.event();
  of_dependent.record(c);
  c.commit();
  std::atomic<int> told = 0;
  const auto expect_cause = [&](auto&& call) {
    const std::optional<Error> error = error_of(call);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::WorkFailed);
    EXPECT_NE(error->message().find("no remainder of zero"), std::string::npos) << error->what();
    ++told;
  };
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) waiters.emplace_back([&] { expect_cause([&] { event.wait(kLimit); }); });
  waiters.emplace_back([&] { expect_cause([&] { of_dependent.wait(kLimit); }); });
  waiters.emplace_back([&] { expect_cause([&] { dependent.wait(kLimit); }); });
  hold.open();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(told, 5);
  EXPECT_FALSE(ran);
  EXPECT_EQ(dependent.status(), BufferStatus::failed);
  EXPECT_TRUE(event.query());
  expect_cause([&] { event.wait(); });  // also those who come late

  // One failure ends with its own work: the streams and the event go on.
  for (Stream stream : {a, b, c}) {
    expect_code(ErrorCode::WorkFailed, [&] { stream.wait(kLimit); });
  }
  a.run("right", [] {});
  event.record(a);
  b.wait_event(event);
  a.commit();
  mark(b, ran).wait(kLimit);
  event.wait(kLimit);
  EXPECT_TRUE(ran);
}

TEST_F(EventPool, AbandonedWorkReleasesItsWaiters) {
  a.run("never", [] { ADD_FAILURE() << "ran"; });
  event.record(a);
  CommandBuffer marked = a.command_buffer();
  b.wait_event(event);
  std::atomic<bool> ran = false;
  CommandBuffer dependent = mark(b, ran);
  std::thread waiter([&] { expect_rule("waited-work-abandoned", [&] { event.wait(kLimit); }); });
  EXPECT_TRUE(remains([&] { return !is_final(dependent.status()); }, milliseconds(5)));
  marked.abandon();
  expect_rule("waited-work-abandoned", [&] { dependent.wait(kLimit); });
  waiter.join();
  EXPECT_FALSE(ran);
  EXPECT_EQ(dependent.status(), BufferStatus::failed);
}

TEST_F(EventPool, ClosingReleasesItsWaiters) {
  a.run("never", [] { ADD_FAILURE() << "ran"; });
  event.record(a);
  b.wait_event(event);
  std::atomic<bool> ran = false;
  CommandBuffer dependent = mark(b, ran);
  std::atomic<bool> waits = false;
  std::thread waiter([&] {
    waits = true;
    // Closed, or as the abandoned work it is, whichever is noticed first.
    const std::optional<Error> error = error_of([&] { event.wait(kLimit); });
    ASSERT_TRUE(error);
    EXPECT_TRUE(error->code() == ErrorCode::Closed || error->rule() == "waited-work-abandoned")
        << error->what();
  });
  EXPECT_TRUE(eventually([&] { return waits.load(); }));
  device.close();
  waiter.join();
  EXPECT_FALSE(ran);
  EXPECT_TRUE(is_final(dependent.status()));
  EXPECT_NE(dependent.status(), BufferStatus::completed);
}

TEST_F(EventPool, Timing) {
  Event begin = device.event();
  expect_rule("event-not-recorded", [&] { event.elapsed_since(begin); });
  begin.record(a);
  a.run("sleep", [] { std::this_thread::sleep_for(milliseconds(20)); });
  event.record(a);
  expect_rule("event-not-done", [&] { event.elapsed_since(begin); });
  a.commit();
  event.wait(kLimit);
  EXPECT_GE(event.elapsed_since(begin), milliseconds(20));
  EXPECT_LT(event.elapsed_since(begin), kLimit);
  EXPECT_EQ(begin.elapsed_since(begin), nanoseconds(0));
  EXPECT_EQ(begin.elapsed_since(event), -event.elapsed_since(begin));
}

TEST_F(EventPool, RefusesOtherDevicesByName) {
  Device other = small_device();
  Stream foreign = other.stream();
  expect_code(ErrorCode::InvalidArgument, [&] { event.record(foreign); });
  expect_code(ErrorCode::InvalidArgument, [&] { foreign.wait_event(event); });
  Event theirs = other.event();
  expect_code(ErrorCode::InvalidArgument, [&] { theirs.elapsed_since(event); });
  EXPECT_EQ(event.generation(), 0u);
}

TEST_F(EventPool, DeletersAfterThePoolIsClosedDoNothing) {
  std::vector<Event> events;
  for (int i = 0; i < 64; ++i) {
    events.push_back(device.event());
    if (i % 3 != 0) events.back().record(i % 2 == 0 ? a : b);
  }
  a.commit();  // b's are closed before they are committed
  device.close();
  on_threads(8, [&](int number) {
    for (int i = number; i < 64; i += 8) {
      Event& mine = events[static_cast<std::size_t>(i)];
      expect_code(ErrorCode::Closed, [&] { mine.record(a); });
      if (i % 2 == 0) mine.reset();
      mine = Event();
      mine.reset();
    }
  });
  Event moved = std::move(event);
  moved.reset();
  expect_code(ErrorCode::Closed, [&] { device.event(); });
}

}  // namespace
}  // namespace millrace::test
