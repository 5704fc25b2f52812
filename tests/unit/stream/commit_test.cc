// Command buffers on their way: states, timelines, the limit on uncompleted ones, refused submissions.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "stream/failure_log.h"
#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using namespace std::chrono_literals;

StreamPool::Options limited(int max_uncompleted) {
  StreamPool::Options options = FakeDevice::few_streams();
  options.max_uncompleted = max_uncompleted;
  return options;
}

void nothing() {}

TEST(Commit, StatesGoForward) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  stream.run("work", nothing);
  CommandBuffer buffer = stream.command_buffer();
  EXPECT_EQ(buffer.status(), BufferStatus::recording);
  EXPECT_TRUE(stream.query());  // nothing was committed
  stream.commit();
  EXPECT_EQ(buffer.status(), BufferStatus::scheduled);
  EXPECT_FALSE(stream.query());
  EXPECT_TRUE(device.backend().step(stream.id()));
  EXPECT_EQ(buffer.status(), BufferStatus::completed);
  EXPECT_EQ(buffer.error(), nullptr);
  EXPECT_TRUE(stream.query());
  EXPECT_EQ(device.backend().known_to_host(stream.id()), 1u);
  buffer.wait();
}

TEST(Commit, ReturnsTheLastBufferWhenNothingWasRecorded) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  EXPECT_FALSE(stream.commit().valid());
  stream.run("work", nothing);
  CommandBuffer first = stream.commit();
  CommandBuffer again = stream.commit();
  EXPECT_EQ(again.status(), BufferStatus::scheduled);
  device.backend().step_all();
  EXPECT_EQ(again.status(), BufferStatus::completed);
  EXPECT_EQ(device.pool().stats().command_buffers, 1u);
}

TEST(Commit, AnEmptyBufferIsDoneWhenThoseBeforeItAre) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  CommandBuffer empty = stream.command_buffer();
  empty.commit();
  EXPECT_EQ(empty.status(), BufferStatus::completed);

  stream.run("work", nothing);
  stream.commit();
  CommandBuffer behind = stream.command_buffer();
  behind.commit();
  EXPECT_EQ(behind.status(), BufferStatus::scheduled);
  device.backend().step_all();
  EXPECT_EQ(behind.status(), BufferStatus::completed);
}

TEST(Commit, TimelineNumbers) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  const Timeline& timeline = device.pool().timeline(stream.id());
  const std::uint64_t base = timeline.last_used();
  stream.run("one", nothing);
  stream.run("two", nothing);
  EXPECT_EQ(timeline.last_used(), base + 1);  // both are in one segment
  EXPECT_EQ(timeline.submitted(), base);
  EXPECT_FALSE(device.pool().wait_until_completed({stream.id(), base + 1}, std::nullopt));  // not committed
  stream.commit();
  EXPECT_EQ(timeline.submitted(), base + 1);
  EXPECT_EQ(timeline.completed(), base);
  EXPECT_FALSE(device.pool().wait_until_completed({stream.id(), base + 1}, sync::deadline_after(1ms)));
  device.backend().step_all();
  EXPECT_EQ(timeline.completed(), base + 1);
  EXPECT_TRUE(device.pool().wait_until_completed({stream.id(), base + 1}, std::nullopt));
}

TEST(Commit, OperationsRunInOrder) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  std::vector<int> ran;
  {
    Recorder recorder = stream.record();
    recorder.run("0", [&] { ran.push_back(0); }).run("1", [&] { ran.push_back(1); });
    recorder.end();
  }
  stream.run("2", [&] { ran.push_back(2); });
  stream.commit();
  stream.run("3", [&] { ran.push_back(3); });
  stream.commit();
  device.backend().step_all();
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2, 3}));
}

TEST(Commit, CopyAndFill) {
  FakeDevice device;
  device.run_freely(1);
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  std::vector<unsigned char> from(16), to(16);
  stream.fill(from.data(), 7, from.size());
  stream.record().copy(to.data(), from.data(), 8).end();
  stream.copy(nullptr, nullptr, 0);
  stream.wait();
  EXPECT_EQ(to[7], 7);
  EXPECT_EQ(to[8], 0);
}

TEST(Commit, BlocksAtTheLimitUntilABufferIsDone) {
  FakeDevice device(limited(2));
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  for (int i = 0; i < 2; ++i) {
    stream.run("work", nothing);
    stream.commit();
  }
  std::atomic<bool> committed{false};
  std::thread third([&] {
    stream.run("work", nothing);
    stream.commit();
    committed = true;
  });
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(committed);
  EXPECT_EQ(device.backend().pending(stream.id()), 2);
  EXPECT_TRUE(device.backend().step(stream.id()));
  third.join();
  EXPECT_TRUE(committed);
  EXPECT_EQ(device.backend().pending(stream.id()), 2);
}

TEST(Commit, WaitAtTheLimitTimesOut) {
  FakeDevice device(limited(1));
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  stream.run("work", nothing);
  stream.commit();
  stream.run("work", nothing);
  expect_code(ErrorCode::TimedOut, [&] { stream.wait(5ms); });
  device.backend().step_all();
  stream.commit();
  expect_code(ErrorCode::TimedOut, [&] { stream.wait(5ms); });
  CommandBuffer last = stream.commit();
  expect_code(ErrorCode::TimedOut, [&] { last.wait(5ms); });
  device.backend().step_all();
  stream.wait(0ns);
}

TEST(Commit, CommittersAtTheLimitEachCommitOnce) {
  FakeDevice device(limited(3));
  device.run_freely(2);
  constexpr int kThreads = 4, kBuffers = 500;
  std::atomic<int> ran{0};
  Stream stream = device.default_stream();
  on_threads(kThreads, [&](int) {
    for (int i = 0; i < kBuffers; ++i) {
      stream.run("count", [&] { ++ran; });
      stream.commit();
    }
  });
  stream.wait();
  EXPECT_EQ(ran, kThreads * kBuffers);
}

TEST(Failure, StopsTheRestOfTheBufferButNotTheNext) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  Event event = device.event();
  bool ran_same = false, ran_next = false;
  stream.run("fails", [] { throw std::runtime_error("as told"); });
  event.record(stream);  // ends the segment
  stream.run("same", [&] { ran_same = true; });
  CommandBuffer failing = stream.commit();
  stream.run("next", [&] { ran_next = true; });
  CommandBuffer next = stream.commit();
  device.backend().step_all();

  EXPECT_FALSE(ran_same);
  EXPECT_TRUE(ran_next);
  EXPECT_EQ(failing.status(), BufferStatus::failed);
  EXPECT_EQ(next.status(), BufferStatus::completed);
  EXPECT_THROW(std::rethrow_exception(failing.error()), Error);
  expect_code(ErrorCode::WorkFailed, [&] { failing.wait(); });
  expect_code(ErrorCode::WorkFailed, [&] { event.wait(); });
  EXPECT_TRUE(event.query());
  next.wait();
  expect_code(ErrorCode::WorkFailed, [&] { stream.wait(); });
  stream.wait();  // the failure was told
}

TEST(Failure, WaitGivesTheFirst) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  for (const char* name : {"first", "second"}) {
    stream.run(name, [] { throw std::runtime_error("as told"); });
    stream.commit();
  }
  device.backend().step_all();
  const std::optional<Error> error = error_of([&] { stream.wait(); });
  ASSERT_TRUE(error);
  EXPECT_NE(error->message().find("first"), std::string::npos) << error->what();
}

TEST(Failure, OldOnesLoseTheirReasonAndStayFailures) {
  StreamPool::Options options = FakeDevice::few_streams();
  options.failures_kept = 2;
  FakeDevice device(options);
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  const std::uint64_t base = device.pool().timeline(stream.id()).last_used();
  for (int i = 0; i < 3; ++i) {
    stream.run("fails", [] { throw std::runtime_error("as told"); });
    stream.commit();
  }
  device.backend().step_all();
  const auto status_of = [&](std::uint64_t value) {
    return device.pool().status_of({stream.id(), base + value});
  };
  EXPECT_NE(status_of(2).error().message().find("as told"), std::string::npos);
  EXPECT_NE(status_of(3).error().message().find("as told"), std::string::npos);
  ASSERT_FALSE(status_of(1).ok());
  EXPECT_EQ(status_of(1).error().code(), ErrorCode::WorkFailed);
  EXPECT_NE(status_of(1).error().message().find("no longer kept"), std::string::npos);

  stream.run("works", nothing);
  stream.commit();
  device.backend().step_all();
  EXPECT_TRUE(status_of(4).ok());  // after the newest failure
}

TEST(Failure, OnlyValuesBetweenForgottenFailuresAreInDoubt) {
  FailureLog log(1, Status(ErrorCode::WorkFailed, "forgotten"));
  const Status known(ErrorCode::WorkFailed, "known");
  for (const std::uint64_t value : {3u, 6u, 9u}) log.add(value, value, known);
  for (const std::uint64_t value : {1u, 2u, 7u, 8u, 10u}) EXPECT_TRUE(log.find(value).ok()) << value;
  for (const std::uint64_t value : {3u, 4u, 5u, 6u})
    EXPECT_EQ(log.find(value).error().message(), "forgotten");
  EXPECT_EQ(log.find(9).error().message(), "known");
}

TEST(Failure, RefusedSubmissionsFailInOrder) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  stream.run("runs", nothing);
  CommandBuffer before = stream.commit();
  device.backend().refuse_submissions(true);
  stream.run("lost", nothing);
  CommandBuffer lost = stream.commit();
  EXPECT_EQ(lost.status(), BufferStatus::scheduled);  // those before it are not done
  device.backend().step_all();
  EXPECT_EQ(before.status(), BufferStatus::completed);
  EXPECT_EQ(lost.status(), BufferStatus::failed);
  stream.run("lost too", nothing);
  EXPECT_EQ(stream.commit().status(), BufferStatus::failed);
  expect_code(ErrorCode::DeviceLost, [&] { stream.wait(); });
}

TEST(Failure, WhatARefusedSubmissionHoldsIsDestroyedOutsideTheStream) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  bool destroyed = false;
  // Its deleter uses the stream, which would hang if the stream's mutex were held.
  std::shared_ptr<int> held(new int, [&](int* object) {
    delete object;
    stream.run("from the deleter", nothing);
    destroyed = true;
  });
  stream.run("lost", [held = std::exchange(held, {})] {});
  device.backend().refuse_submissions(true);
  const Watchdog watchdog("destroying what a refused submission holds");
  EXPECT_EQ(stream.commit().status(), BufferStatus::failed);
  EXPECT_TRUE(destroyed);
}

TEST(Abandon, NothingRunsAndTheNextBufferGoesOn) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  bool ran = false;
  stream.run("never", [&] { ran = true; });
  CommandBuffer buffer = stream.command_buffer();
  buffer.abandon();
  EXPECT_EQ(buffer.status(), BufferStatus::abandoned);
  EXPECT_EQ(buffer.error(), nullptr);
  buffer.wait();
  stream.run("next", nothing);
  CommandBuffer next = stream.commit();
  device.backend().step_all();
  EXPECT_FALSE(ran);
  EXPECT_EQ(next.status(), BufferStatus::completed);
  EXPECT_EQ(buffer.status(), BufferStatus::abandoned);
  EXPECT_EQ(device.pool().stats().abandoned_buffers, 1u);
  stream.wait();
}

TEST(Abandon, KeepsTheWaitsOfReusedMemory) {
  FakeDevice device;
  StreamLease lease = device.lease(), other_lease = device.lease();
  Stream stream = lease.stream(), other = other_lease.stream();
  other.run("uses the memory", nothing);
  other.commit();
  const TimelinePoint use{other.id(), device.pool().timeline(other.id()).last_used()};
  ASSERT_TRUE(device.pool().try_insert_wait(stream.id(), use));
  stream.run("never", nothing);
  stream.command_buffer().abandon();
  stream.run("reuses it", nothing);
  stream.commit();
  EXPECT_FALSE(device.backend().step(stream.id()));  // waits for the other stream
  EXPECT_TRUE(device.backend().step(other.id()));
  EXPECT_EQ(device.backend().step_all(), 2);
}

TEST(TryInsertWait, NotWhileARecorderIsOpen) {
  FakeDevice device;
  StreamLease lease = device.lease(), other_lease = device.lease();
  Stream stream = lease.stream(), other = other_lease.stream();
  other.run("work", [] { throw std::runtime_error("as told"); });
  other.commit();
  const TimelinePoint point{other.id(), device.pool().timeline(other.id()).last_used()};
  Recorder open = stream.record();
  EXPECT_FALSE(device.pool().try_insert_wait(stream.id(), point));
  open.end();
  EXPECT_TRUE(device.pool().try_insert_wait(stream.id(), point));
  stream.run("work", nothing);
  CommandBuffer buffer = stream.commit();
  device.backend().step_all();
  EXPECT_EQ(buffer.status(), BufferStatus::completed);  // it orders, and inherits no failure
}

TEST(Synchronize, CommitsAllAndThrowsTheFirstFailure) {
  FakeDevice device;
  device.run_freely(1);
  StreamLease a = device.lease(), b = device.lease();
  std::atomic<int> told{0};
  a.stream().run("fails", [] { throw std::runtime_error("as told"); });
  b.stream().run("works", nothing);
  b.stream().on_completed([&](const Completion&) {
    std::this_thread::sleep_for(10ms);
    ++told;
  });
  expect_code(ErrorCode::WorkFailed, [&] { device.pool().synchronize("test"); });
  EXPECT_EQ(told, 1);
  device.pool().synchronize("test");
}

TEST(Synchronize, LeavesWhatARecorderIsOpenOn) {
  FakeDevice device;
  device.run_freely(1);
  StreamLease a = device.lease(), b = device.lease(), c = device.lease();
  std::atomic<int> ran{0};
  const auto count = [&] { ++ran; };
  a.stream().run("committed", count);
  c.stream().run("committed", count);
  Recorder open = b.stream().record();
  open.run("being recorded", count);
  device.pool().synchronize("test");
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(b.stream().command_buffer().status(), BufferStatus::recording);
  open.run("goes on", count).end();
  { Recorder dropped = a.stream().record(); }
  device.pool().synchronize("test");
  EXPECT_EQ(ran, 4);
  expect_rule("encoder-dropped-open", [&] { a.stream().commit(); });
}

}  // namespace
}  // namespace millrace::test
