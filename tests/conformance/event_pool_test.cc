// Events: what they mark, generations, reuse, timing.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "conformance/event_fixture.h"
#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/held_stream.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

using EventPool = EventTest;

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

TEST_F(EventPool, MarksTheMiddleOfACommandBuffer) {
  std::atomic<bool> go = false, first = false, last = false;
  a.run("first", [&] { first = true; });
  event.record(a);
  a.run("held", [&] { EXPECT_TRUE(eventually([&] { return go.load(); })); });
  Event after = device.event();
  after.record(a);
  a.run("last", [&] { last = true; });
  CommandBuffer whole = a.commit();
  event.wait(kLimit);
  EXPECT_TRUE(first);
  EXPECT_FALSE(after.query());
  EXPECT_FALSE(is_final(whole.status()));
  b.wait_event(event);
  std::atomic<bool> ran = false;
  mark(b, ran).wait(kLimit);  // does not wait for what is held
  EXPECT_FALSE(last);
  go = true;
  after.wait(kLimit);
  whole.wait(kLimit);
  EXPECT_TRUE(last);
}

TEST_F(EventPool, WhatComesBeforeAWaitDoesNotWait) {
  // To and fro between two buffers, each committed whole: a, then b, then a again.
  std::atomic<int> step = 0;
  const auto expect_step = [&](int expected) { return [&step, expected] { EXPECT_EQ(step++, expected); }; };
  Event back = device.event();
  a.run("first", expect_step(0));
  event.record(a);
  b.wait_event(event);
  b.run("second", expect_step(1));
  back.record(b);
  a.wait_event(back);
  a.run("third", expect_step(2));
  CommandBuffer of_b = b.commit(), of_a = a.commit();
  of_a.wait(kLimit);
  of_b.wait(kLimit);
  EXPECT_EQ(step, 3);
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

}  // namespace
}  // namespace millrace::test
