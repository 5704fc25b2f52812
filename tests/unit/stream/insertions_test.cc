// Waits that came with reused memory and that nobody commits.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <thread>

#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

void nothing() {}

class Insertions : public testing::Test {
 protected:
  TimelinePoint last_of(Stream stream) {
    return {stream.id(), device_.pool().timeline(stream.id()).last_used()};
  }
  /// The other stream's work, which stream_ has to wait for before it reuses the memory.
  TimelinePoint insert_wait(HostTask task = nothing) {
    other_.run("uses the memory", std::move(task));
    other_.commit();
    EXPECT_TRUE(device_.pool().try_insert_wait(stream_.id(), last_of(other_)));
    return last_of(stream_);
  }
  void flush() { device_.pool().flush_insertions(); }
  bool is_committed(TimelinePoint point) {
    return device_.pool().timeline(point.queue).committed() >= point.value;
  }

  FakeDevice device_;
  StreamLease lease_ = device_.lease(), other_lease_ = device_.lease();
  Stream stream_ = lease_.stream(), other_ = other_lease_.stream();
};

TEST_F(Insertions, EndByThemselvesOnceFlushed) {
  const TimelinePoint point = insert_wait();
  device_.backend().step_all();
  EXPECT_FALSE(device_.pool().is_completed(point));
  const std::uint64_t committed = device_.pool().stats().command_buffers;
  flush();
  device_.backend().step_all();
  EXPECT_TRUE(device_.pool().is_completed(point));
  EXPECT_TRUE(device_.pool().status_of(point).ok());
  EXPECT_EQ(device_.pool().stats().command_buffers, committed);
  EXPECT_EQ(device_.pool().stats().abandoned_buffers, 0u);
  flush();  // nothing is left
  EXPECT_EQ(device_.backend().step_all(), 0);
}

TEST_F(Insertions, OrderWhatIsRecordedAfterTheFlush) {
  insert_wait();
  flush();
  stream_.run("reuses it", nothing);
  CommandBuffer reuse = stream_.commit();
  EXPECT_FALSE(device_.backend().step(stream_.id()));  // waits for the other stream
  EXPECT_TRUE(device_.backend().step(other_.id()));
  device_.backend().step_all();
  EXPECT_EQ(reuse.status(), BufferStatus::completed);
}

TEST_F(Insertions, LeaveTheCurrentBufferRecordable) {
  CommandBuffer held = stream_.command_buffer();
  const TimelinePoint point = insert_wait();
  flush();
  EXPECT_TRUE(is_committed(point));
  EXPECT_EQ(held.status(), BufferStatus::recording);
  std::atomic<bool> ran{false};
  Recorder recorder = held.record();
  recorder.run("goes on", [&] { ran = true; });
  recorder.end();
  held.commit();
  device_.backend().step_all();
  EXPECT_EQ(held.status(), BufferStatus::completed);
  EXPECT_TRUE(ran);
  stream_.wait();
}

TEST_F(Insertions, StayWhereTheBufferHasAnythingElse) {
  const auto stays = [&](auto&& record) {
    const TimelinePoint point = insert_wait();
    record();
    flush();
    EXPECT_FALSE(is_committed(point));
    stream_.command_buffer().abandon();
  };
  stays([&] { stream_.run("work", nothing); });
  stays([&] { stream_.on_completed([](const Completion&) {}); });
  Event event = device_.event(), others = device_.event();
  stays([&] { event.record(stream_); });
  others.record(other_);
  stays([&] { stream_.wait_event(others); });
  {
    const TimelinePoint point = insert_wait();
    Recorder open = stream_.record();
    flush();
    EXPECT_FALSE(is_committed(point));
    open.end();
    flush();
    EXPECT_TRUE(is_committed(point));
  }
  const TimelinePoint point = insert_wait();
  { Recorder dropped = stream_.record(); }
  flush();
  EXPECT_FALSE(is_committed(point));
  expect_rule("encoder-dropped-open", [&] { stream_.commit(); });
}

TEST_F(Insertions, InheritNoFailureAndTellNone) {
  const TimelinePoint point = insert_wait([] { throw std::runtime_error("as told"); });
  flush();
  device_.backend().step_all();
  EXPECT_TRUE(device_.pool().status_of(point).ok());
  insert_wait();
  device_.backend().refuse_submissions(true);
  flush();
  device_.backend().step_all();
  stream_.wait();
  device_.backend().refuse_submissions(false);
}

TEST(InsertionsStress, FlushedWhileOthersRecordAndEndLeases) {
  FakeDevice device(FakeDevice::few_streams(6));
  device.run_freely(2);
  std::atomic<bool> done{false};
  std::thread flusher([&] {
    while (!done) device.pool().flush_insertions();
  });
  on_threads(4, [&](int number) {
    for (int i = 0; i < 300; ++i) {
      StreamLease lease = device.lease();
      Stream stream = lease.stream();
      const int awaited = (stream.id() + number) % 6;
      const TimelinePoint point{awaited, device.pool().timeline(awaited).submitted()};
      EXPECT_TRUE(device.pool().try_insert_wait(stream.id(), point));
      if (i % 3 == 0) continue;
      std::atomic<bool> ran{false};
      stream.run("work", [&] { ran = true; });
      stream.wait();
      EXPECT_TRUE(ran);
    }
  });
  done = true;
  flusher.join();
}

}  // namespace
}  // namespace millrace::test
