// What a command buffer does: its states, its 64 at a time, its end when nobody commits it, and the
// rules beside those of rules_test.cc.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;

constexpr int kMostUncompleted = 64;

struct CommandBuffers : testing::Test {
  const Watchdog watchdog{"a test of command buffers"};
  Device device = create_test_device({.workers = 2});
  Stream stream = device.stream();
  std::atomic<int> ran = 0;

  CommandBuffer commit_task() {
    stream.run("task", [this] { ++ran; });
    return stream.commit();
  }
};

TEST_F(CommandBuffers, StatesGoForward) {
  StreamLease lease = device.lease();
  Event event = device.event();
  lease.stream().run("task", [] {});
  event.record(lease.stream());

  stream.wait_event(event);
  stream.run("task", [] {});
  CommandBuffer buffer = stream.command_buffer();
  EXPECT_EQ(buffer.status(), BufferStatus::recording);
  EXPECT_EQ(buffer.error(), nullptr);
  buffer.commit();
  EXPECT_EQ(buffer.status(), BufferStatus::committed);  // what it waits for has not been handed over
  lease.stream().commit();
  EXPECT_GE(buffer.status(), BufferStatus::scheduled);
  buffer.wait(kLimit);
  EXPECT_EQ(buffer.status(), BufferStatus::completed);
  EXPECT_EQ(buffer.error(), nullptr);
}

TEST_F(CommandBuffers, CommitOfNothingGivesTheLastOne) {
  EXPECT_FALSE(stream.commit().valid());
  CommandBuffer buffer = commit_task();
  CommandBuffer same = stream.commit();
  ASSERT_TRUE(same.valid());
  same.wait(kLimit);
  EXPECT_EQ(buffer.status(), BufferStatus::completed);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(device.streams().command_buffers, 1u);
}

TEST_F(CommandBuffers, FailuresAreToldOnce) {
  stream.run("fail", [] { throw std::runtime_error("first"); });
  CommandBuffer failed = stream.commit();
  stream.run("fail", [] { throw std::runtime_error("second"); });
  stream.commit();
  stream.run("task", [this] { ++ran; });
  const std::optional<Error> error = error_of([&] { stream.wait(kLimit); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::WorkFailed);
  EXPECT_NE(error->message().find("first"), std::string::npos) << error->what();
  EXPECT_NE(error->message().find("fail"), std::string::npos) << "names the operation: " << error->what();
  EXPECT_EQ(error->stream(), stream.id());
  EXPECT_NO_THROW(stream.wait(kLimit));
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(failed.status(), BufferStatus::failed);
  ASSERT_NE(failed.error(), nullptr);
  expect_code(ErrorCode::WorkFailed, [&] { std::rethrow_exception(failed.error()); });
  expect_code(ErrorCode::WorkFailed, [&] { failed.wait(); });  // the buffer's own stays
}

TEST_F(CommandBuffers, NothingRunsAfterAFailureInTheSameBuffer) {
  stream.run("fail", [] { throw 42; });  // not a std::exception
  stream.run("after", [this] { ++ran; });
  expect_code(ErrorCode::WorkFailed, [&] { stream.wait(kLimit); });
  EXPECT_EQ(ran, 0);
}

TEST_F(CommandBuffers, TheNextCommitBlocksWhile64AreUncompleted) {
  StreamHold hold(stream);
  std::atomic<int> committed = 1;
  std::thread committer([&] {
    for (int i = 0; i < 3 * kMostUncompleted; ++i) {
      commit_task();
      ++committed;
    }
  });
  EXPECT_TRUE(eventually([&] { return committed == kMostUncompleted; }));
  EXPECT_TRUE(remains([&] { return committed == kMostUncompleted && ran == 0; }));
  // Other streams, also those of the same thread, do not notice.
  StreamLease lease = device.lease();
  Stream other = lease.stream();
  other.run("task", [] {});
  other.wait(kLimit);
  EXPECT_EQ(committed, kMostUncompleted);
  hold.open();
  committer.join();
  stream.wait(kLimit);
  EXPECT_EQ(ran, 3 * kMostUncompleted);
}

TEST_F(CommandBuffers, SeveralThreadsBlockAndGoOn) {
  StreamHold hold(stream);
  std::thread opener([&] {
    EXPECT_TRUE(
        eventually([&] { return device.streams().command_buffers >= std::uint64_t{kMostUncompleted}; }));
    hold.open();
  });
  on_threads(6, [&](int) {
    for (int i = 0; i < 100; ++i) commit_task();
  });
  opener.join();
  stream.wait(kLimit);
  EXPECT_EQ(ran, 600);
}

TEST_F(CommandBuffers, ABlockedCommitEndsWhenTheDeviceCloses) {
  StreamHold hold(stream);
  std::atomic<int> committed = 1;
  std::thread committer([&] {
    try {
      for (;;) {
        commit_task();
        ++committed;
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::Closed) << error.what();
    }
  });
  EXPECT_TRUE(eventually([&] { return committed == kMostUncompleted; }));
  std::thread closer([&] { device.close(); });
  EXPECT_TRUE(eventually([&] { return !device.is_open(); }));
  hold.open();
  closer.join();
  committer.join();
  EXPECT_EQ(ran, committed - 1);  // what was committed ran
}

TEST_F(CommandBuffers, AbandonedRunsItsHandlersAndNothingElse) {
  stream.run("task", [this] { ++ran; });
  CommandBuffer buffer = stream.command_buffer();
  std::atomic<int> scheduled = 0, completed = 0;
  buffer.on_scheduled([&](const Completion& completion) {
    EXPECT_EQ(completion.status, BufferStatus::abandoned);
    EXPECT_EQ(completed, 0);
    ++scheduled;
  });
  buffer.on_completed([&](const Completion& completion) {
    EXPECT_EQ(completion.status, BufferStatus::abandoned);
    EXPECT_EQ(completion.stream, stream.id());
    ++completed;
  });
  buffer.abandon();
  EXPECT_EQ(buffer.status(), BufferStatus::abandoned);
  commit_task().wait(kLimit);  // the stream has a new one
  device.synchronize();
  EXPECT_EQ(scheduled, 1);
  EXPECT_EQ(completed, 1);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(device.streams().abandoned_buffers, 1u);
}

TEST_F(CommandBuffers, DroppedWithTheirThreadOrTheDevice) {
  std::atomic<int> told[2] = {0, 0};
  std::thread([&] {
    device.stream().run("task", [] { ADD_FAILURE() << "ran"; });
    device.stream().on_completed([&](const Completion& completion) {
      EXPECT_EQ(completion.status, BufferStatus::abandoned);
      ++told[0];
    });
  }).join();
  EXPECT_TRUE(eventually([&] { return told[0] == 1; }));
  stream.run("task", [] { ADD_FAILURE() << "ran"; });
  stream.on_completed([&](const Completion& completion) {
    EXPECT_GE(completion.status, BufferStatus::abandoned);
    ++told[1];
  });
  CommandBuffer buffer = stream.command_buffer();
  device.close();
  EXPECT_EQ(told[1], 1);
  EXPECT_GE(buffer.status(), BufferStatus::abandoned);
}

TEST_F(CommandBuffers, EncodeAfterEnd) {
  Recorder recorder = stream.record();
  recorder.run("task", [this] { ++ran; });
  recorder.end();
  expect_rule("encode-after-end", [&] { recorder.end(); });
  expect_rule("encode-after-end", [&] { recorder.run("task", [] { ADD_FAILURE() << "ran"; }); });
  char byte = 0;
  expect_rule("encode-after-end", [&] { recorder.fill(&byte, 1, 1); });
  expect_rule("encode-after-end", [&] { recorder.copy(&byte, &byte, 1); });
  stream.wait(kLimit);
  EXPECT_EQ(ran, 1);
}

TEST_F(CommandBuffers, WaitBeforeCommit) {
  stream.run("task", [this] { ++ran; });
  CommandBuffer buffer = stream.command_buffer();
  expect_rule("wait-before-commit", [&] { buffer.wait(); });
  expect_rule("wait-before-commit", [&] { buffer.wait(milliseconds(1)); });
  stream.wait(kLimit);
  EXPECT_NO_THROW(buffer.wait());
  EXPECT_EQ(ran, 1);
}

TEST_F(CommandBuffers, WaitsWithALimitTimeOutAndTheWorkGoesOn) {
  StreamHold hold(stream);
  CommandBuffer buffer = commit_task();
  expect_code(ErrorCode::TimedOut, [&] { buffer.wait(milliseconds(5)); });
  expect_code(ErrorCode::TimedOut, [&] { stream.wait(milliseconds(5)); });
  EXPECT_FALSE(stream.query());
  hold.open();
  buffer.wait(kLimit);
  EXPECT_TRUE(eventually([&] { return stream.query(); }));
  EXPECT_EQ(ran, 1);
}

TEST_F(CommandBuffers, MemoryThatIsFreeIsRefused) {
  void* memory = device.allocate(4096);
  device.deallocate(memory);
  expect_rule("double-free", [&] { device.deallocate(memory); });
  expect_rule("use-after-free", [&] { stream.fill(memory, 0, 16); });
  char host[16] = {};
  expect_rule("use-after-free", [&] { stream.copy(host, memory, 16); });
  expect_code(ErrorCode::InvalidArgument, [&] { device.deallocate(host); });
}

}  // namespace
}  // namespace millrace::test
