// The rules of recording, each by its name.
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <utility>

#include "support/expect_error.h"
#include "support/fake_device.h"

namespace millrace::test {
namespace {

void nothing() {}

class Rules : public testing::Test {
 protected:
  void run(Stream stream) { stream.run("nothing", nothing); }

  FakeDevice device_;
  StreamLease lease_ = device_.lease();
  Stream stream_ = lease_.stream();
};

TEST_F(Rules, OneEncoder) {
  Recorder open = stream_.record();
  expect_rule("one-encoder", [&] { run(stream_); });
  expect_rule("one-encoder", [&] { static_cast<void>(stream_.record()); });
  expect_rule("one-encoder", [&] { static_cast<void>(stream_.command_buffer().record()); });
  open.end();
  run(stream_);
}

TEST_F(Rules, EncoderOpenAtCommit) {
  Recorder open = stream_.record();
  expect_rule("encoder-open-at-commit", [&] { stream_.commit(); });
  expect_rule("encoder-open-at-commit", [&] { stream_.command_buffer().commit(); });
  expect_rule("encoder-open-at-commit", [&] { stream_.wait(); });
  open.end();
  EXPECT_TRUE(stream_.commit().valid());
}

TEST_F(Rules, EncoderDroppedOpen) {
  { Recorder dropped = stream_.record(); }
  expect_rule("encoder-dropped-open", [&] { stream_.commit(); });
  stream_.command_buffer().abandon();
  run(stream_);
  EXPECT_NO_THROW(stream_.commit());
}

TEST_F(Rules, AMovedRecorderIsNotDropped) {
  Recorder first = stream_.record();
  Recorder second = std::move(first);
  expect_rule("encode-after-end", [&] { first.run("nothing", nothing); });
  second.run("nothing", nothing).run("nothing", nothing);
  second.end();
  EXPECT_NO_THROW(stream_.commit());
}

TEST_F(Rules, EncodeAfterEnd) {
  Recorder recorder = stream_.record();
  recorder.end();
  expect_rule("encode-after-end", [&] { recorder.end(); });
  expect_rule("encode-after-end", [&] { recorder.run("nothing", nothing); });
}

TEST_F(Rules, EncodeAfterCommit) {
  CommandBuffer buffer = stream_.command_buffer();
  buffer.commit();
  expect_rule("encode-after-commit", [&] { static_cast<void>(buffer.record()); });
}

TEST_F(Rules, EncodeAfterAbandon) {
  CommandBuffer buffer = stream_.command_buffer();
  Recorder recorder = buffer.record();
  buffer.abandon();
  expect_rule("encode-after-commit", [&] { recorder.run("nothing", nothing); });
  expect_rule("encode-after-commit", [&] { recorder.end(); });
}

TEST_F(Rules, CommitOnce) {
  CommandBuffer buffer = stream_.command_buffer();
  buffer.commit();
  expect_rule("commit-once", [&] { buffer.commit(); });
  expect_rule("commit-once", [&] { buffer.abandon(); });
  CommandBuffer by_stream = stream_.command_buffer();
  stream_.commit();
  expect_rule("commit-once", [&] { by_stream.commit(); });
  CommandBuffer given_up = stream_.command_buffer();
  given_up.abandon();
  expect_rule("commit-once", [&] { given_up.commit(); });
}

TEST_F(Rules, HandlersAfterCommit) {
  CommandBuffer buffer = stream_.command_buffer();
  buffer.commit();
  const auto ignore = [](const Completion&) {};
  expect_rule("scheduled-handler-after-commit", [&] { buffer.on_scheduled(ignore); });
  expect_rule("completed-handler-after-commit", [&] { buffer.on_completed(ignore); });
}

TEST_F(Rules, EventInsideEncoder) {
  Event event = device_.event();
  Recorder open = stream_.record();
  expect_rule("event-inside-encoder", [&] { event.record(stream_); });
  expect_rule("event-inside-encoder", [&] { stream_.wait_event(event); });
  open.end();
  event.record(stream_);
  stream_.wait_event(event);
}

TEST_F(Rules, EventInsideEncoderForAnUnsubmittedPoint) {
  StreamLease other = device_.lease();
  run(other.stream());
  Event event = device_.event();
  event.record(other.stream());
  Recorder open = stream_.record();
  expect_rule("event-inside-encoder", [&] { stream_.wait_event(event); });
  open.end();
}

TEST_F(Rules, WaitBeforeCommit) {
  CommandBuffer buffer = stream_.command_buffer();
  expect_rule("wait-before-commit", [&] { buffer.wait(); });
  expect_rule("wait-before-commit", [&] { buffer.wait(std::chrono::seconds(1)); });
}

TEST_F(Rules, WaitInsideAHostTask) {
  std::optional<Error> refused;
  stream_.run("waits", [&] { refused = error_of([&] { stream_.wait(); }); });
  stream_.commit();
  EXPECT_TRUE(device_.backend().step(stream_.id()));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->rule(), "wait-in-own-handler");
}

TEST_F(Rules, StaleStream) {
  run(stream_);
  lease_.reset();
  Event event = device_.event();
  expect_rule("stale-stream", [&] { run(stream_); });
  expect_rule("stale-stream", [&] { static_cast<void>(stream_.record()); });
  expect_rule("stale-stream", [&] { stream_.commit(); });
  expect_rule("stale-stream", [&] { stream_.wait(); });
  expect_rule("stale-stream", [&] { stream_.query(); });
  expect_rule("stale-stream", [&] { static_cast<void>(stream_.command_buffer()); });
  expect_rule("stale-stream", [&] { stream_.on_completed([](const Completion&) {}); });
  expect_rule("stale-stream", [&] { stream_.wait_event(event); });
  expect_rule("stale-stream", [&] { event.record(stream_); });
  expect_rule("stale-stream", [&] { stream_.fill(&event, 0, 0); });
}

TEST_F(Rules, BadArguments) {
  int value = 0;
  expect_code(ErrorCode::InvalidArgument, [&] { stream_.copy(nullptr, &value, sizeof value); });
  expect_code(ErrorCode::InvalidArgument, [&] { stream_.copy(&value, nullptr, sizeof value); });
  expect_code(ErrorCode::InvalidArgument, [&] { stream_.fill(nullptr, 1, 1); });
  expect_code(ErrorCode::InvalidArgument, [&] { stream_.run("empty", nullptr); });
  expect_code(ErrorCode::InvalidArgument, [&] { stream_.on_completed(nullptr); });
  FakeDevice other;
  Event foreign = other.event();
  expect_code(ErrorCode::InvalidArgument, [&] { foreign.record(stream_); });
  expect_code(ErrorCode::InvalidArgument, [&] { stream_.wait_event(foreign); });
}

TEST_F(Rules, EmptyHandles) {
  expect_code(ErrorCode::Closed, [] { Stream().commit(); });
  expect_code(ErrorCode::Closed, [] { CommandBuffer().status(); });
  expect_code(ErrorCode::Closed, [] { Event().query(); });
}

TEST_F(Rules, ErrorsSayWhereTheyHappened) {
  CommandBuffer buffer = stream_.command_buffer();
  buffer.commit();
  const std::optional<Error> error = error_of([&] { buffer.commit(); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->call(), "CommandBuffer::commit");
  EXPECT_EQ(error->device(), "fake:0");
  EXPECT_EQ(error->stream(), stream_.id());
}

class RefusingChecker final : public UseChecker {
 public:
  void check(const Use& use, TimelinePoint at) override {
    points.push_back(at);
    if (use.address == refused) throw_rule("freed-while-in-use", "the test says so");
  }
  const void* refused = nullptr;
  std::vector<TimelinePoint> points;
};

TEST(Uses, AreCheckedBeforeTheOperationIsRecorded) {
  RefusingChecker checker;
  FakeDevice device(FakeDevice::few_streams(), &checker);
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  std::array<char, 8> good{}, freed{};
  checker.refused = freed.data();

  stream.copy(good.data(), good.data() + 4, 4);
  ASSERT_EQ(checker.points.size(), 2u);
  EXPECT_EQ(checker.points[0].queue, stream.id());
  EXPECT_EQ(checker.points[0].value, device.pool().timeline(stream.id()).last_used());

  const std::uint64_t used = device.pool().timeline(stream.id()).last_used();
  expect_rule("freed-while-in-use", [&] { stream.fill(freed.data(), 1, 8); });
  expect_rule("freed-while-in-use", [&] { stream.run("task", nothing, {reads(freed.data(), 8)}); });
  EXPECT_EQ(device.pool().timeline(stream.id()).last_used(), used);
  stream.commit();
  device.backend().step_all();
  EXPECT_EQ(freed[0], 0);
}

}  // namespace
}  // namespace millrace::test
