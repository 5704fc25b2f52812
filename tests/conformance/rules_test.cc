// The strict rules of command buffers: each is refused with InvalidState and its name, and refusing it
// leaves everything as it was.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <thread>
#include <utility>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

void ignore(const Completion&) {}

/// A device, a stream, and tasks that count.
struct Rules : testing::Test {
  const Watchdog watchdog{"a test of the rules"};
  Device device = create_test_device({.workers = 2});
  Stream stream = device.stream();
  std::atomic<int> ran = 0;

  HostTask count() {
    return [this] { ++ran; };
  }
  /// A buffer with one task, committed and done.
  CommandBuffer done_buffer() {
    stream.run("task", count());
    CommandBuffer buffer = stream.commit();
    buffer.wait(kLimit);
    ran = 0;
    return buffer;
  }
  /// The stream takes, runs and completes work, and has nothing recorded: whatever was refused left no trace.
  void expect_usable() {
    const int before = ran;
    stream.run("task", count());
    stream.wait(kLimit);
    EXPECT_EQ(ran, before + 1);
  }
};

TEST_F(Rules, CompletedHandlerAfterCommit) {
  CommandBuffer done = done_buffer();
  expect_rule("completed-handler-after-commit", [&] { done.on_completed(ignore); });
  StreamHold hold(stream);
  stream.run("task", count());
  CommandBuffer held = stream.commit();
  expect_rule("completed-handler-after-commit", [&] {
    held.on_completed([](const Completion&) { ADD_FAILURE() << "a refused handler ran"; });
  });
  hold.open();
  held.wait(kLimit);
  device.synchronize();
  expect_usable();
}

TEST_F(Rules, ScheduledHandlerAfterCommit) {
  CommandBuffer done = done_buffer();
  expect_rule("scheduled-handler-after-commit", [&] { done.on_scheduled(ignore); });
  // Also while it waits for work that was not submitted yet, and so will be scheduled later.
  StreamLease other = device.lease();
  Event event = device.event();
  other.stream().run("task", count());
  event.record(other.stream());
  stream.wait_event(event);
  stream.run("task", count());
  CommandBuffer waiting = stream.commit();
  EXPECT_EQ(waiting.status(), BufferStatus::committed);
  expect_rule("scheduled-handler-after-commit", [&] {
    waiting.on_scheduled([](const Completion&) { ADD_FAILURE() << "a refused handler ran"; });
  });
  other.stream().commit();
  waiting.wait(kLimit);
  EXPECT_EQ(ran, 2);
  expect_usable();
}

TEST_F(Rules, HandlersAfterTheirBufferWasAbandoned) {
  CommandBuffer buffer = stream.command_buffer();
  buffer.abandon();
  expect_rule("completed-handler-after-commit", [&] { buffer.on_completed(ignore); });
  expect_rule("scheduled-handler-after-commit", [&] { buffer.on_scheduled(ignore); });
  expect_usable();
}

TEST_F(Rules, CommitOnce) {
  stream.run("task", count());
  CommandBuffer buffer = stream.command_buffer();
  buffer.commit();
  expect_rule("commit-once", [&] { buffer.commit(); });
  expect_rule("commit-once", [&] { buffer.abandon(); });
  buffer.wait(kLimit);
  expect_rule("commit-once", [&] { buffer.commit(); });
  CommandBuffer copy = buffer;
  expect_rule("commit-once", [&] { copy.commit(); });
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(buffer.status(), BufferStatus::completed);
  CommandBuffer given_up = stream.command_buffer();
  given_up.abandon();
  expect_rule("commit-once", [&] { given_up.commit(); });
  expect_usable();
}

TEST_F(Rules, CommitOnceUnderThreads) {
  for (int round = 0; round < 50; ++round) {
    stream.run("task", count());
    CommandBuffer buffer = stream.command_buffer();
    std::atomic<int> committed = 0, refused = 0;
    on_threads(4, [&](int) {
      try {
        buffer.commit();
        ++committed;
      } catch (const Error& error) {
        EXPECT_EQ(error.rule(), "commit-once");
        ++refused;
      }
    });
    buffer.wait(kLimit);
    EXPECT_EQ(committed, 1);
    EXPECT_EQ(refused, 3);
    EXPECT_EQ(ran, round + 1);
  }
}

TEST_F(Rules, EncoderOpenAtCommit) {
  CommandBuffer buffer = stream.command_buffer();
  Recorder recorder = buffer.record();
  recorder.run("task", count());
  expect_rule("encoder-open-at-commit", [&] { buffer.commit(); });
  expect_rule("encoder-open-at-commit", [&] { stream.commit(); });
  expect_rule("encoder-open-at-commit", [&] { stream.wait(); });
  EXPECT_EQ(buffer.status(), BufferStatus::recording);
  recorder.run("task", count());  // it is still open
  recorder.end();
  buffer.commit();
  buffer.wait(kLimit);
  EXPECT_EQ(ran, 2);
}

TEST_F(Rules, OneEncoder) {
  CommandBuffer buffer = stream.command_buffer();
  Buffer memory = device.buffer(64);
  {
    Recorder recorder = stream.record();
    expect_rule("one-encoder", [&] { stream.record(); });
    expect_rule("one-encoder", [&] { buffer.record(); });
    // The recorder is the only way to record while it is open.
    expect_rule("one-encoder", [&] { stream.fill(memory.data(), 1, 64); });
    expect_rule("one-encoder", [&] { stream.copy(memory.data(), memory.data(), 1); });
    expect_rule("one-encoder", [&] { stream.run("task", count()); });
    std::thread([&] { expect_rule("one-encoder", [&] { stream.record(); }); }).join();
    recorder.run("task", count());
    recorder.end();
  }
  Recorder next = buffer.record();  // one after the other is right
  next.run("task", count());
  next.end();
  buffer.commit();
  buffer.wait(kLimit);
  EXPECT_EQ(ran, 2);
}

TEST_F(Rules, EncodeAfterCommit) {
  CommandBuffer done = done_buffer();
  expect_rule("encode-after-commit", [&] { done.record(); });
  StreamHold hold(stream);
  stream.run("task", count());
  CommandBuffer held = stream.commit();
  expect_rule("encode-after-commit", [&] { held.record(); });
  CommandBuffer given_up = stream.command_buffer();
  given_up.abandon();
  expect_rule("encode-after-commit", [&] { given_up.record(); });
  hold.open();
  held.wait(kLimit);
  expect_usable();
}

TEST_F(Rules, EncoderDroppedOpen) {
  CommandBuffer buffer = stream.command_buffer();
  std::atomic<int> told = 0;
  buffer.on_completed([&](const Completion& completion) {
    EXPECT_EQ(completion.status, BufferStatus::abandoned);
    ++told;
  });
  {
    Recorder dropped = buffer.record();
    dropped.run("half of it", [] { ADD_FAILURE() << "an operation of a dropped recorder ran"; });
    const Recorder moved = std::move(dropped);  // one drop, not two
  }
  expect_rule("encoder-dropped-open", [&] { buffer.commit(); });
  expect_rule("encoder-dropped-open", [&] { stream.commit(); });
  EXPECT_EQ(buffer.status(), BufferStatus::recording);
  // It can be given up, and the stream goes on.
  buffer.abandon();
  EXPECT_EQ(buffer.status(), BufferStatus::abandoned);
  expect_usable();
  device.synchronize();
  EXPECT_EQ(told, 1);
}

TEST_F(Rules, EventInsideEncoder) {
  Event event = device.event();
  Recorder recorder = stream.record();
  expect_rule("event-inside-encoder", [&] { event.record(stream); });
  expect_rule("event-inside-encoder", [&] { stream.wait_event(event); });
  EXPECT_EQ(event.generation(), 0u);
  EXPECT_TRUE(event.query());
  recorder.end();
  event.record(stream);
  stream.wait_event(event);
  EXPECT_EQ(event.generation(), 1u);
  expect_usable();
}

TEST_F(Rules, FreedWhileInUse) {
  StreamLease lease = device.lease();
  Stream other = lease.stream();
  char* memory = static_cast<char*>(device.allocate(4096));
  StreamHold hold(other);
  // Recorded only, by the middle of the allocation: refused.
  other.fill(memory + 100, 1, 100);
  expect_rule("freed-while-in-use", [&] { device.deallocate(memory); });
  // Committed, and not done: refused, on any thread.
  other.commit();
  std::thread([&] { expect_rule("freed-while-in-use", [&] { device.deallocate(memory); }); }).join();
  EXPECT_GE(device.memory().live, 4096u);  // it is still the caller's
  // Said: the memory waits for it.
  device.record_use(memory, other);
  device.deallocate(memory);
  EXPECT_EQ(device.memory().live, 0u);
  EXPECT_GE(device.memory().pending, 4096u);
  hold.open();
  other.wait(kLimit);

  // Done and waited for: nothing uses it any more.
  void* second = device.allocate(4096);
  other.fill(second, 1, 4096);
  other.wait(kLimit);
  device.deallocate(second);
  // The stream that it was allocated for needs no word.
  void* third = device.allocate(4096);
  stream.fill(third, 1, 4096);
  device.deallocate(third);
  expect_usable();
  device.check_accounting();
}

TEST_F(Rules, PurgeableInUse) {
  Buffer memory = device.buffer(4096);
  StreamLease lease = device.lease();
  for (Stream user : {stream, lease.stream()}) {
    StreamHold hold(user);
    user.fill(memory.data(), 7, 4096);
    expect_rule("purgeable-in-use", [&] { device.make_discardable(memory.data()); });
    user.commit();
    expect_rule("purgeable-in-use", [&] { device.make_discardable(memory.data()); });
    hold.open();
    user.wait(kLimit);
    device.make_discardable(memory.data());
    expect_rule("purgeable-in-use", [&] {
      user.fill(memory.data(), 1, 10);
      user.commit();
    });
    user.command_buffer().abandon();
    static_cast<void>(device.make_resident(memory.data()));
    user.fill(memory.data(), 9, 4096);
    user.wait(kLimit);
    EXPECT_EQ(read_one(user, memory.as<unsigned char>() + 4095), 9);
  }
}

}  // namespace
}  // namespace millrace::test
