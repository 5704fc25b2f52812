// Events whose work fails, is abandoned or never runs: nobody waits for ever, and everybody is told why.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/event_fixture.h"
#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;

using EventFailures = EventTest;

TEST_F(EventFailures, FailedWorkReleasesItsWaitersWithTheError) {
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

// The device waits for the newest point alone; the failure of an older one counts all the same.
TEST_F(EventFailures, AnOldFailureCountsBesideANewerWaitForTheSameStream) {
  a.run("divide", [] { throw std::runtime_error("no remainder of zero"); });
  event.record(a);
  a.commit();
  const Buffer buffer = device.buffer(a, 4096);
  Event later = device.event();
  for (int i = 0; i < 3; ++i) {
    a.fill(buffer.data(), 1, buffer.size());
    later.record(a);
    a.commit();
  }
  later.wait(kLimit);
  b.wait_event(event);
  b.wait_event(later);
  b.fill(buffer.data(), 2, buffer.size());
  expect_code(ErrorCode::WorkFailed, [&] { b.wait(kLimit); });
  b.wait_event(later);
  b.fill(buffer.data(), 3, buffer.size());
  b.wait(kLimit);
  expect_code(ErrorCode::WorkFailed, [&] { a.wait(kLimit); });
}

TEST_F(EventFailures, AbandonedWorkReleasesItsWaiters) {
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

TEST_F(EventFailures, ClosingReleasesItsWaiters) {
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

TEST_F(EventFailures, DeletersAfterThePoolIsClosedDoNothing) {
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
