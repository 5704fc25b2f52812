// Handlers: when they run, where, what they are told and what they may do.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMiB = std::size_t{1} << 20;

struct Handlers : testing::Test {
  const Watchdog watchdog{"a test of handlers"};
  Device device =
      create_test_device({.memory_limit = 64 * kMiB, .workers = 2, .out_of_memory_wait = seconds(60)});
  Stream stream = device.stream();

  /// Runs the handler for a buffer with one task and waits until it has returned.
  void run_handler(Handler handler) {
    std::atomic<bool> returned = false;
    stream.run("task", [] {});
    stream.on_completed([&](const Completion& completion) {
      handler(completion);
      returned = true;
    });
    stream.commit();
    // No return before the handler's: it uses what is on the caller's stack. A hang is the watchdog's.
    ASSERT_TRUE(eventually([&] { return returned.load(); }, 10 * kLimit));
  }
};

TEST_F(Handlers, RunAfterTheStateIsVisibleOnAThreadOfTheDevice) {
  const auto caller = std::this_thread::get_id();
  Event event = device.event();
  stream.run("task", [] {});
  CommandBuffer buffer = stream.command_buffer();
  event.record(stream);
  std::atomic<int> order = 0;
  buffer.on_scheduled([&](const Completion& completion) {
    EXPECT_EQ(order++, 0);
    EXPECT_EQ(completion.status, BufferStatus::scheduled);
    EXPECT_GE(buffer.status(), BufferStatus::scheduled);
    EXPECT_NE(std::this_thread::get_id(), caller);
  });
  for (int i = 1; i <= 3; ++i) {
    buffer.on_completed([&, i](const Completion& completion) {
      EXPECT_EQ(order++, i);  // in the order in which they were added
      EXPECT_EQ(completion.status, BufferStatus::completed);
      EXPECT_EQ(completion.error, nullptr);
      EXPECT_EQ(completion.stream, stream.id());
      EXPECT_EQ(buffer.status(), BufferStatus::completed);
      EXPECT_TRUE(event.query());
      EXPECT_TRUE(stream.query());
      EXPECT_NE(std::this_thread::get_id(), caller);
    });
  }
  buffer.commit();
  device.synchronize();
  EXPECT_EQ(order, 4);
  EXPECT_EQ(device.streams().handlers_run, 4u);
}

TEST_F(Handlers, HearOfFailures) {
  std::atomic<int> told = 0;
  stream.run("fail", [] { throw std::runtime_error("as planned"); });
  stream.on_completed([&](const Completion& completion) {
    EXPECT_EQ(completion.status, BufferStatus::failed);
    expect_code(ErrorCode::WorkFailed, [&] { std::rethrow_exception(completion.error); });
    ++told;
  });
  expect_code(ErrorCode::WorkFailed, [&] { stream.wait(kLimit); });
  device.synchronize();
  EXPECT_EQ(told, 1);
}

TEST_F(Handlers, OfABufferThatIsNeverScheduledRunAllTheSame) {
  std::atomic<int> order = 0;
  CommandBuffer buffer = stream.command_buffer();
  buffer.on_completed([&](const Completion& completion) {
    EXPECT_EQ(order++, 1);
    EXPECT_EQ(completion.status, BufferStatus::abandoned);
  });
  buffer.on_scheduled([&](const Completion& completion) {
    EXPECT_EQ(order++, 0);
    EXPECT_EQ(completion.status, BufferStatus::abandoned);
  });
  buffer.abandon();
  EXPECT_TRUE(eventually([&] { return order == 2; }));
}

TEST_F(Handlers, WaitingForTheirOwnBufferIsRefused) {
  std::atomic<int> refused = 0;
  CommandBuffer buffer = stream.command_buffer();
  const Handler wait = [&](const Completion&) {
    expect_rule("wait-in-own-handler", [&] { buffer.wait(); });
    expect_rule("wait-in-own-handler", [&] { buffer.wait(seconds(1)); });
    expect_rule("wait-in-own-handler", [&] { device.synchronize(); });
    expect_rule("close-in-handler", [&] { device.close(); });
    ++refused;
  };
  buffer.on_scheduled(wait);
  buffer.on_completed(wait);
  buffer.commit();
  buffer.wait(kLimit);
  EXPECT_TRUE(eventually([&] { return refused == 2; }));
  EXPECT_TRUE(device.is_open());
  device.synchronize();
}

TEST_F(Handlers, MayWaitForOtherBuffers) {
  StreamLease lease = device.lease();
  Stream other = lease.stream();
  run_handler([&](const Completion&) {
    std::atomic<int> ran = 0;
    other.run("task", [&] { ++ran; });
    other.commit().wait(kLimit);
    EXPECT_EQ(ran, 1);
    Event event = device.event();
    other.run("task", [&] { ++ran; });
    event.record(other);
    other.commit();
    event.wait(kLimit);
    EXPECT_EQ(ran, 2);
    // A later buffer of the handler's own stream does not wait for the handler.
    stream.run("task", [&] { ++ran; });
    stream.commit().wait(kLimit);
    EXPECT_EQ(ran, 3);
  });
}

TEST_F(Handlers, ExceptionsAreCountedAndDropped) {
  std::atomic<int> after = 0;
  stream.on_scheduled([](const Completion&) { throw std::runtime_error("from a scheduled handler"); });
  stream.on_completed([](const Completion&) { throw 42; });
  stream.on_completed([&](const Completion&) { ++after; });
  CommandBuffer buffer = stream.commit();
  buffer.wait(kLimit);
  device.synchronize();
  EXPECT_EQ(buffer.status(), BufferStatus::completed);
  EXPECT_EQ(after, 1);
  EXPECT_EQ(device.streams().handler_exceptions, 2u);
  EXPECT_EQ(device.streams().handlers_run, 3u);
}

TEST_F(Handlers, AllocateAndFree) {
  std::vector<Buffer> kept;
  void* before = device.allocate(3000);
  run_handler([&](const Completion&) {
    for (std::size_t i = 0; i < 100; ++i) kept.push_back(device.buffer(i * 997));
    kept.push_back(device.buffer(4 * kMiB));
    kept.push_back(device.buffer(stream, 5000));
    device.deallocate(before);
    device.buffer(100).reset();
  });
  EXPECT_EQ(kept.size(), 102u);
  kept.clear();
  EXPECT_EQ(device.memory().live, 0u);
  device.check_accounting();
}

TEST_F(Handlers, CommitFarPast64InFlight) {
  constexpr int kBuffers = 500;
  std::atomic<int> ran = 0, told = 0, recorded = 0;
  std::optional<StreamHold> hold;
  StreamLease lease = device.lease();
  hold.emplace(lease.stream());
  Stream held = lease.stream();
  run_handler([&](const Completion&) {
    for (int i = 0; i < kBuffers; ++i) {
      held.run("task", [&, i] { EXPECT_EQ(ran++, i); });
      held.on_completed([&](const Completion&) { ++told; });
      held.commit();
      ++recorded;
    }
    EXPECT_EQ(ran, 0);
  });
  EXPECT_EQ(recorded, kBuffers);
  hold->open();
  held.wait(kLimit);
  device.synchronize();
  EXPECT_EQ(ran, kBuffers);
  EXPECT_EQ(told, kBuffers);
}

TEST_F(Handlers, AChainThatEachLinkSubmitsTheNextOf) {
  constexpr int kLinks = 1000;
  std::atomic<int> links = 0;
  std::function<void()> submit = [&] {
    stream.run("link", [] {});
    stream.on_completed([&](const Completion&) {
      if (++links < kLinks) submit();
    });
    stream.commit();
  };
  submit();
  EXPECT_TRUE(eventually([&] { return links == kLinks; }));
  device.synchronize();
}

TEST_F(Handlers, OutOfMemoryIsToldWithoutWaiting) {
  // Memory that would come free, had one the time to wait for it.
  StreamLease lease = device.lease();
  StreamHold hold(lease.stream());
  void* pending = device.allocate(40 * kMiB);
  lease.stream().fill(pending, 1, 40 * kMiB);
  lease.stream().commit();
  device.record_use(pending, lease.stream());
  device.deallocate(pending);
  run_handler([&](const Completion&) {
    const auto begin = std::chrono::steady_clock::now();
    const std::optional<Error> error = error_of([&] { device.allocate(48 * kMiB); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::OutOfMemory) << error->what();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(30));
    expect_code(ErrorCode::OutOfMemory, [&] { device.allocate(100 * kMiB); });
    EXPECT_NO_THROW(device.buffer(kMiB).reset());
  });
  hold.open();
  lease.stream().wait(kLimit);
  EXPECT_NO_THROW(device.buffer(48 * kMiB).reset());
}

TEST_F(Handlers, DropTheLastReferenceToAnything) {
  struct Held {
    Event event;
    StreamLease lease;
    Buffer memory;
    CommandBuffer uncommitted;
  };
  auto held = std::make_shared<Held>(Held{
      .event = device.event(), .lease = device.lease(), .memory = device.buffer(1000), .uncommitted = {}});
  std::atomic<int> abandoned = 0;
  held->event.record(held->lease.stream());
  held->uncommitted = held->lease.stream().command_buffer();
  held->uncommitted.on_completed([&](const Completion& completion) {
    EXPECT_EQ(completion.status, BufferStatus::abandoned);
    ++abandoned;
  });
  const std::weak_ptr<Held> watched = held;
  stream.run("task", [held] {});
  stream.on_completed([held](const Completion&) {});
  held.reset();
  EXPECT_FALSE(watched.expired());
  stream.commit();
  // It expires before its members end, and synchronize would commit what the lease's end abandons.
  EXPECT_TRUE(eventually([&] { return watched.expired() && abandoned == 1; }));
  device.synchronize();
  EXPECT_EQ(abandoned, 1);
  EXPECT_EQ(device.streams().leased, 1);
  EXPECT_EQ(device.memory().live, 0u);
}

TEST_F(Handlers, DropTheLastHandleOfTheDevice) {
  std::atomic<bool> alone = false, dropped = false, told_later = false;
  stream.run("task", [] {});
  stream.on_completed([&, last = device](const Completion&) mutable {
    EXPECT_TRUE(eventually([&] { return alone.load(); }));
    stream.on_completed([&](const Completion& completion) {
      EXPECT_TRUE(is_final(completion.status));
      told_later = true;
    });
    last = Device();  // the close is put off until this handler has returned
    dropped = true;
  });
  stream.commit();
  device = Device();
  alone = true;
  EXPECT_TRUE(eventually([&] { return dropped.load(); }));
  EXPECT_TRUE(eventually([&] {
    try {
      static_cast<void>(stream.query());
      return false;
    } catch (const Error& error) {
      return error.code() == ErrorCode::Closed;
    }
  }));
  EXPECT_TRUE(eventually([&] { return told_later.load(); }));
}

}  // namespace
}  // namespace millrace::test
