// Waits between streams: held submissions, circles, and failures that are passed on.
#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <vector>

#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using namespace std::chrono_literals;

void nothing() {}
void fail() {
  throw std::runtime_error("as told");
}

class Waits : public testing::Test {
 protected:
  /// Records something and marks its end.
  Event mark(Stream stream, HostTask task = nothing) {
    stream.run("marked", std::move(task));
    Event event = device_.event();
    event.record(stream);
    return event;
  }

  FakeDevice device_{FakeDevice::few_streams(6)};
  StreamLease lease_a_ = device_.lease(), lease_b_ = device_.lease(), lease_c_ = device_.lease();
  Stream a_ = lease_a_.stream(), b_ = lease_b_.stream(), c_ = lease_c_.stream();
};

TEST_F(Waits, SubmittedPointsAreTheBackendsToWaitFor) {
  const Event event = mark(b_);
  b_.commit();
  a_.wait_event(event);
  a_.run("after", nothing);
  EXPECT_EQ(a_.commit().status(), BufferStatus::scheduled);
  EXPECT_FALSE(device_.backend().step(a_.id()));
  EXPECT_TRUE(device_.backend().step(b_.id()));
  EXPECT_TRUE(device_.backend().step(a_.id()));
}

TEST_F(Waits, UnsubmittedPointsHoldTheWaiter) {
  const Event event = mark(b_);
  a_.run("before the wait", nothing);
  a_.wait_event(event);
  a_.run("after the wait", nothing);
  CommandBuffer held = a_.commit();
  EXPECT_EQ(held.status(), BufferStatus::committed);
  EXPECT_EQ(device_.backend().pending(a_.id()), 1);  // what comes before the wait does not wait
  a_.run("behind", nothing);
  CommandBuffer behind = a_.commit();
  EXPECT_EQ(behind.status(), BufferStatus::committed);
  b_.commit();
  EXPECT_EQ(held.status(), BufferStatus::scheduled);
  EXPECT_EQ(behind.status(), BufferStatus::scheduled);
  device_.backend().step_all();
  EXPECT_EQ(behind.status(), BufferStatus::completed);
}

TEST_F(Waits, ReleaseCascades) {
  const Event on_c = mark(c_);
  b_.wait_event(on_c);
  const Event on_b = mark(b_);
  a_.wait_event(on_b);
  a_.run("last", nothing);
  CommandBuffer last = a_.commit();
  b_.commit();
  EXPECT_EQ(last.status(), BufferStatus::committed);
  c_.commit();
  EXPECT_EQ(last.status(), BufferStatus::scheduled);
  device_.backend().step_all();
  EXPECT_EQ(last.status(), BufferStatus::completed);
}

TEST_F(Waits, CrossingWaitsInsideBuffersAreNoCircle) {
  const Event on_a = mark(a_);
  const Event on_b = mark(b_);
  a_.wait_event(on_b);
  b_.wait_event(on_a);
  a_.run("second half", nothing);
  b_.run("second half", nothing);
  CommandBuffer a = a_.commit(), b = b_.commit();
  EXPECT_EQ(a.status(), BufferStatus::scheduled);
  device_.backend().step_all();
  EXPECT_EQ(a.status(), BufferStatus::completed);
  EXPECT_EQ(b.status(), BufferStatus::completed);
}

// Every wait is for something recorded before it, so streams that wait for each other in turn all end.
TEST_F(Waits, ChainsBackAndForthAreNoCircle) {
  Event event = mark(a_);
  for (int i = 0; i < 10; ++i) {
    for (Stream stream : {b_, c_, a_}) {
      stream.wait_event(event);
      event = mark(stream);
    }
  }
  for (Stream stream : {c_, b_, a_}) stream.commit();
  EXPECT_EQ(device_.backend().pending(c_.id()), 10);
  device_.backend().step_all();
  EXPECT_TRUE(event.query());
  for (Stream stream : {a_, b_, c_}) stream.wait();
}

TEST_F(Waits, FailuresArePassedOn) {
  const Event event = mark(b_, fail);
  bool ran = false, ran_next = false;
  a_.wait_event(event);
  a_.run("dependent", [&] { ran = true; });
  CommandBuffer dependent = a_.commit();
  a_.run("next", [&] { ran_next = true; });
  CommandBuffer next = a_.commit();
  b_.commit();
  device_.backend().step_all();
  EXPECT_EQ(dependent.status(), BufferStatus::failed);
  expect_code(ErrorCode::WorkFailed, [&] { dependent.wait(); });
  EXPECT_FALSE(ran);
  EXPECT_EQ(next.status(), BufferStatus::completed);
  EXPECT_TRUE(ran_next);
}

TEST_F(Waits, OnTheSameStreamPassFailuresOnToo) {
  const Event event = mark(a_, fail);
  a_.commit();
  bool ran = false;
  a_.wait_event(event);
  a_.run("dependent", [&] { ran = true; });
  CommandBuffer dependent = a_.commit();
  device_.backend().step_all();
  EXPECT_EQ(dependent.status(), BufferStatus::failed);
  EXPECT_FALSE(ran);
}

TEST_F(Waits, ForFailedWorkThatIsDoneAlreadyFailToo) {
  const Event event = mark(b_, fail);
  b_.commit();
  device_.backend().step_all();
  a_.wait_event(event);
  CommandBuffer dependent = a_.commit();
  device_.backend().step_all();
  expect_code(ErrorCode::WorkFailed, [&] { dependent.wait(); });
}

TEST_F(Waits, ForAbandonedWorkEndWithItsRule) {
  const Event event = mark(b_);
  a_.wait_event(event);
  a_.run("dependent", nothing);
  CommandBuffer dependent = a_.commit();
  b_.command_buffer().abandon();
  EXPECT_EQ(dependent.status(), BufferStatus::scheduled);
  device_.backend().step_all();
  EXPECT_EQ(dependent.status(), BufferStatus::failed);
  expect_rule("waited-work-abandoned", [&] { dependent.wait(); });
  expect_rule("waited-work-abandoned", [&] { event.wait(); });
}

TEST_F(Waits, ForWorkOfALeaseThatEndsEndWithItsRule) {
  const Event event = mark(b_);
  a_.wait_event(event);
  CommandBuffer dependent = a_.commit();
  lease_b_.reset();
  device_.backend().step_all();
  expect_rule("waited-work-abandoned", [&] { dependent.wait(); });
}

TEST_F(Waits, AbandoningTheWaiterFreesWhatComesBehindIt) {
  const Event event = mark(b_);
  a_.wait_event(event);
  a_.run("never", nothing);
  a_.command_buffer().abandon();
  a_.run("free", nothing);
  CommandBuffer free = a_.commit();
  EXPECT_EQ(free.status(), BufferStatus::scheduled);
  // And its wait is forgotten: the other direction is no circle.
  const Event on_a = mark(a_);
  b_.wait_event(on_a);
  a_.commit();
  b_.commit();
  device_.backend().step_all();
  EXPECT_TRUE(b_.query());
}

TEST_F(Waits, EventsThatWereNeverRecordedAreNoWait) {
  Event never = device_.event();
  a_.wait_event(never);
  EXPECT_FALSE(a_.commit().valid());
}

TEST_F(Waits, ReRecordedEventsAreWaitedForAsTheyWere) {
  Event event = mark(b_);
  b_.commit();
  a_.wait_event(event);
  a_.run("after the first", nothing);
  a_.commit();
  c_.run("never ends here", nothing);
  event.record(c_);
  EXPECT_TRUE(device_.backend().step(b_.id()));
  EXPECT_TRUE(device_.backend().step(a_.id()));
}

TEST_F(Waits, HeldWorkCountsTowardsTheLimitOnlyOnceItRuns) {
  const Event event = mark(b_);
  a_.wait_event(event);
  std::vector<CommandBuffer> buffers;
  for (int i = 0; i < 10; ++i) {
    a_.run("held", nothing);
    buffers.push_back(a_.commit());
  }
  EXPECT_EQ(device_.backend().pending(a_.id()), 0);
  b_.commit();
  EXPECT_EQ(device_.backend().pending(a_.id()), 10);
  device_.backend().step_all();
  for (CommandBuffer& buffer : buffers) EXPECT_EQ(buffer.status(), BufferStatus::completed);
}

// Random programs: each stream records, marks, waits for others' marks, commits or abandons. Whatever was
// committed must end once all is committed: no wait is lost, none hangs.
TEST(WaitsStress, EverythingCommittedEnds) {
  for (int round = 0; round < 20; ++round) {
    FakeDevice device(FakeDevice::few_streams(9));
    device.run_freely(2);
    constexpr int kThreads = 8;
    std::vector<Event> events;
    for (int i = 0; i < kThreads; ++i) events.push_back(device.event());
    on_threads(kThreads, [&](int number) {
      StreamLease lease = device.lease();
      Stream stream = lease.stream();
      unsigned random = static_cast<unsigned>(number * 7919 + round * 104729 + 1);
      const auto next = [&](unsigned below) {
        random = random * 1664525u + 1013904223u;
        return (random >> 8) % below;
      };
      for (int i = 0; i < 200; ++i) {
        switch (next(6)) {
          case 0: stream.run("work", nothing); break;
          case 1: events[static_cast<std::size_t>(number)].record(stream); break;
          case 2:
          case 3: stream.wait_event(events[next(kThreads)]); break;
          case 4: stream.commit(); break;
          default:
            if (next(8) == 0) stream.command_buffer().abandon();
        }
      }
      stream.commit();
      try {
        stream.wait(60s);
      } catch (const Error& error) {
        if (error.rule() != "waited-work-abandoned") throw;
      }
    });
  }
}

}  // namespace
}  // namespace millrace::test
