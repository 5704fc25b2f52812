// Events: recorded, asked, waited for, timed, given back.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "event/slot.h"
#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using namespace std::chrono_literals;

void nothing() {}

class Events : public testing::Test {
 protected:
  FakeDevice device_;
  StreamLease lease_ = device_.lease(), other_lease_ = device_.lease();
  Stream stream_ = lease_.stream(), other_ = other_lease_.stream();
};

TEST_F(Events, NeverRecordedIsDone) {
  Event event = device_.event();
  EXPECT_TRUE(event.query());
  EXPECT_EQ(event.generation(), 0u);
  event.wait();
  event.record(stream_);  // nothing was ever recorded there
  EXPECT_TRUE(event.query());
  EXPECT_EQ(event.generation(), 1u);
}

TEST_F(Events, MarksWhatWasRecordedBefore) {
  Event event = device_.event();
  stream_.run("before", nothing);
  event.record(stream_);
  stream_.run("after", nothing);
  EXPECT_FALSE(event.query());
  stream_.commit();
  EXPECT_FALSE(event.query());
  EXPECT_TRUE(device_.backend().step(stream_.id()));
  EXPECT_TRUE(event.query());
  event.wait();
  EXPECT_FALSE(stream_.query());
  EXPECT_EQ(device_.backend().known_to_host(stream_.id()), 1u);
}

TEST_F(Events, WaitDoesNotCommitAndTimesOut) {
  Event event = device_.event();
  stream_.run("work", nothing);
  event.record(stream_);
  const std::optional<Error> error = error_of([&] { event.wait(5ms); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::TimedOut);
  EXPECT_NE(error->message().find("not committed"), std::string::npos);
  std::thread waiter([&] { event.wait(); });
  stream_.commit();
  device_.backend().step_all();
  waiter.join();
}

TEST_F(Events, FailedWorkReleasesItsWaiters) {
  Event event = device_.event();
  stream_.run("fails", [] { throw std::runtime_error("as told"); });
  event.record(stream_);
  stream_.commit();
  std::thread waiter([&] { expect_code(ErrorCode::WorkFailed, [&] { event.wait(); }); });
  device_.backend().step_all();
  waiter.join();
  EXPECT_TRUE(event.query());
}

TEST_F(Events, AFailureIsOneAlsoAfterManyMore) {
  Event event = device_.event();
  const auto fail = [] { throw std::runtime_error("as told"); };
  stream_.run("fails", fail);
  event.record(stream_);
  stream_.commit();
  for (int i = 0; i < 65; ++i) {
    device_.backend().step_all();
    stream_.run("fails", fail);
    stream_.commit();
  }
  bool ran = false;
  other_.wait_event(event);
  other_.run("dependent", [&] { ran = true; });
  CommandBuffer dependent = other_.commit();
  device_.backend().step_all();
  expect_code(ErrorCode::WorkFailed, [&] { event.wait(); });
  EXPECT_EQ(dependent.status(), BufferStatus::failed);
  EXPECT_FALSE(ran);
}

TEST_F(Events, AWaiterOfTheOldRecordIsNotFooledByTheNew) {
  Event event = device_.event();
  stream_.run("first", nothing);
  event.record(stream_);
  stream_.commit();
  std::atomic<bool> woke{false};
  std::thread waiter([&] {
    event.wait();
    woke = true;
  });
  std::this_thread::sleep_for(10ms);
  other_.run("second, never committed", nothing);
  event.record(other_);
  EXPECT_EQ(event.generation(), 2u);
  EXPECT_FALSE(event.query());
  EXPECT_TRUE(device_.backend().step(stream_.id()));
  waiter.join();
  EXPECT_TRUE(woke);
  EXPECT_FALSE(event.query());
}

TEST_F(Events, Times) {
  Event start = device_.event(), end = device_.event();
  expect_rule("event-not-recorded", [&] { end.elapsed_since(start); });
  stream_.run("before", nothing);
  start.record(stream_);
  stream_.run("timed", [] { std::this_thread::sleep_for(5ms); });
  end.record(stream_);
  expect_rule("event-not-done", [&] { end.elapsed_since(start); });
  stream_.commit();
  device_.backend().step_all();
  EXPECT_GE(end.elapsed_since(start), 5ms);
  EXPECT_LT(start.elapsed_since(end), 0ns);
  Event again = device_.event();
  again.record(stream_);  // the same point, after it was reached
  EXPECT_EQ(again.elapsed_since(end), 0ns);
  end.record(other_);  // nothing was recorded there: done now
  EXPECT_GT(end.elapsed_since(start), 5ms);
}

TEST_F(Events, TheTimeOfAnOldRecordIsNotTheNewOnes) {
  Event event = device_.event(), reference = device_.event();
  reference.record(stream_);
  stream_.run("first", nothing);
  event.record(stream_);
  stream_.commit();
  other_.run("second", nothing);
  event.record(other_);
  device_.backend().step_all();  // the first is reached, the second is not committed
  expect_rule("event-not-done", [&] { event.elapsed_since(reference); });
}

TEST_F(Events, SlotsAreReusedAndOldOwnersHaveNoSay) {
  Event event = device_.event();
  const std::uint32_t slot = detail::Access::slot_of(event);
  stream_.run("work", nothing);
  event.record(stream_);
  stream_.commit();
  event.reset();
  event.reset();
  Event next = device_.event();
  ASSERT_EQ(detail::Access::slot_of(next), slot);
  EXPECT_EQ(next.generation(), 0u);
  EXPECT_TRUE(next.query());
  device_.backend().step_all();
  expect_rule("event-not-recorded", [&] { next.elapsed_since(next); });
}

TEST_F(Events, MoveAndOutliveTheDevice) {
  Event event = device_.event();
  Event moved = std::move(event);
  EXPECT_FALSE(event.valid());
  EXPECT_TRUE(moved.valid());
  Event target = device_.event();
  target = std::move(moved);
  device_.close();
  expect_code(ErrorCode::Closed, [&] { target.query(); });
  expect_code(ErrorCode::Closed, [&] { target.wait(); });
  expect_code(ErrorCode::Closed, [&] { target.generation(); });
  target.reset();
}

TEST(EventPool, GrowsToItsLimit) {
  FakeDevice device(FakeDevice::few_streams(), nullptr, {.chunk_slots = 2, .max_chunks = 2});
  EventPool& small = device.events();
  Context& mine = device.context();
  std::vector<EventPool::Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(small.get(mine, "test"));
  expect_code(ErrorCode::PoolExhausted, [&] { small.get(mine, "test"); });
  small.put(&mine, leases[2]);
  small.put(&mine, leases[2]);  // not its any more
  const EventPool::Lease again = small.get(mine, "test");
  EXPECT_EQ(again.slot, leases[2].slot);
  EXPECT_NE(again.number, leases[2].number);
  expect_code(ErrorCode::PoolExhausted, [&] { small.get(mine, "test"); });
  small.put(nullptr, again);  // as a thread without a context does
  EXPECT_EQ(small.get(mine, "test").slot, again.slot);
  device.close();
  small.put(&mine, leases[0]);
  expect_code(ErrorCode::Closed, [&] { small.get(mine, "test"); });
}

TEST(EventPool, WhatOneThreadKeepsAnotherCanHave) {
  FakeDevice device(FakeDevice::few_streams(), nullptr, {.chunk_slots = 4, .max_chunks = 1});
  EventPool& small = device.events();
  Context& mine = device.context();
  small.put(&mine, small.get(mine, "test"));  // all four are in this thread's cache
  std::thread([&] {
    Context& other = device.context();
    std::vector<EventPool::Lease> leases;
    for (int i = 0; i < 4; ++i) leases.push_back(small.get(other, "test"));
    for (const EventPool::Lease& lease : leases) small.put(&other, lease);
  }).join();
  // And the other thread has given back what it kept when it ended.
  std::vector<EventPool::Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(small.get(mine, "test"));
  expect_code(ErrorCode::PoolExhausted, [&] { small.get(mine, "test"); });
}

TEST(EventStress, ReRecordedReturnedAndReused) {
  FakeDevice device(FakeDevice::few_streams(9));
  device.run_freely(2);
  constexpr int kThreads = 8;
  Event shared = device.event();
  std::atomic<std::uint64_t> records{0};
  on_threads(kThreads, [&](int number) {
    StreamLease lease = device.lease();
    Stream stream = lease.stream();
    for (int i = 0; i < 500; ++i) {
      Event mine = device.event();
      stream.run("work", [fails = i % 31 == 30] {
        if (fails) throw std::runtime_error("as told");
      });
      mine.record(stream);
      shared.record(stream);
      ++records;
      stream.commit();
      if (i % 4 == number % 4) {
        try {
          mine.wait();
          EXPECT_TRUE(mine.query());
          EXPECT_GE(mine.elapsed_since(mine), 0ns);
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::WorkFailed) << error.what();
        }
      }
      static_cast<void>(shared.query());
      if (i % 64 == 63) {
        try {
          shared.wait(60s);
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::WorkFailed) << error.what();
        }
      }
    }
  });
  EXPECT_EQ(shared.generation(), records);
}

}  // namespace
}  // namespace millrace::test
