// Closing a device at every stage of its streams' work.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using namespace std::chrono_literals;

void nothing() {}

TEST(Close, RunsWhatWasCommittedAndClosesWhatWasRecorded) {
  FakeDevice device;
  StreamLease lease = device.lease(), other = device.lease();
  Stream stream = lease.stream();
  std::atomic<int> ran{0};
  stream.run("committed", [&] { ++ran; });
  CommandBuffer committed = stream.commit();
  stream.run("recorded", [&] { ++ran; });
  CommandBuffer recorded = stream.command_buffer();
  std::optional<BufferStatus> told;
  recorded.on_completed([&](const Completion& completion) { told = completion.status; });
  device.close();
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(committed.status(), BufferStatus::completed);
  EXPECT_EQ(recorded.status(), BufferStatus::closed);
  EXPECT_EQ(told, BufferStatus::closed);
  expect_code(ErrorCode::Closed, [&] { recorded.wait(); });
  expect_code(ErrorCode::Closed, [&] { stream.commit(); });
  expect_code(ErrorCode::Closed, [&] { recorded.commit(); });
  expect_code(ErrorCode::Closed, [&] { stream.query(); });
  committed.wait();
}

TEST(Close, HeldWorkThatNobodyCanReleaseAnyMoreIsClosed) {
  FakeDevice device;
  StreamLease lease = device.lease(), other = device.lease(), third = device.lease();
  other.stream().run("never committed", nothing);
  Event event = device.event();
  event.record(other.stream());
  std::atomic<bool> ran{false}, ran_behind{false};
  lease.stream().wait_event(event);
  lease.stream().run("held", [&] { ran = true; });
  CommandBuffer held = lease.stream().commit();
  Event second = device.event();
  second.record(lease.stream());
  third.stream().wait_event(second);
  third.stream().run("held behind", nothing);
  CommandBuffer indirect = third.stream().commit();
  lease.stream().run("free", [&] { ran_behind = true; });
  CommandBuffer behind = lease.stream().commit();
  device.close();
  EXPECT_EQ(held.status(), BufferStatus::closed);
  EXPECT_EQ(indirect.status(), BufferStatus::closed);
  EXPECT_EQ(behind.status(), BufferStatus::completed);
  EXPECT_FALSE(ran);
  EXPECT_TRUE(ran_behind);
}

TEST(Close, WakesEveryKindOfWaiter) {
  StreamPool::Options options = FakeDevice::few_streams();
  options.max_uncompleted = 1;
  FakeDevice device(options);
  StreamLease lease = device.lease(), other = device.lease();
  Stream stream = lease.stream(), never = other.stream();
  stream.run("work", nothing);
  CommandBuffer running = stream.commit();
  never.run("never committed", nothing);
  Event event = device.event();
  event.record(never);

  std::vector<std::thread> waiters;
  waiters.emplace_back([&] {
    expect_code(ErrorCode::Closed, [&] {
      stream.run("past the limit", nothing);
      stream.commit();
    });
  });
  waiters.emplace_back([&] { running.wait(); });
  waiters.emplace_back([&] { expect_code(ErrorCode::Closed, [&] { event.wait(); }); });
  std::this_thread::sleep_for(20ms);
  device.run_freely(0);  // the backend moves only once the device is closing
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    device.close();
    closed = true;
  });
  waiters.front().join();
  while (!closed) device.backend().step_all();
  closer.join();
  waiters[1].join();
  waiters[2].join();
}

TEST(Close, HandlersFindTheDeviceClosedAndMayDropAnything) {
  FakeDevice device;
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  auto event = std::make_unique<Event>(device.event());
  std::optional<Error> refused;
  stream.on_completed([&](const Completion&) {
    refused = error_of([&] { stream.run("late", nothing); });
    event.reset();
    lease.reset();
  });
  device.close();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), ErrorCode::Closed);
}

TEST(Close, OperationsThatNeverRanAreDestroyed) {
  auto held = std::make_shared<int>(0);
  {
    FakeDevice device;
    StreamLease lease = device.lease();
    lease.stream().run("recorded", [held] {});
    StreamLease ended = device.lease();
    ended.stream().run("abandoned", [held] {});
    ended.reset();
    EXPECT_EQ(held.use_count(), 3);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(Close, DestroysOperationsThatHoldADeviceHandle) {
  struct Handle {
    explicit Handle(Core& c) : core(c) { core.add_handle(); }
    ~Handle() { core.drop_handle(); }
    Core& core;
  };
  FakeDevice device;
  const sync::Ref<Core> kept = sync::Ref<Core>::share(&device.core());
  auto handle = std::make_shared<Handle>(device.core());
  device.default_stream().run("recorded", [handle] {});
  handle.reset();
  device.close();
  EXPECT_FALSE(kept->is_open());
}

/// What a device that was closed because the process exits is: never destroyed.
void keep_forever(Core& core) {
  static auto& kept = *new std::vector<sync::Ref<Core>>;
  kept.push_back(sync::Ref<Core>::share(&core));
}

TEST(Close, AtExitWaitsForAWhileOnly) {
  StreamPool::Options options = FakeDevice::few_streams();
  options.exit_wait = 20ms;
  FakeDevice device(options);
  keep_forever(device.core());
  device.run_freely(0);
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  std::atomic<bool> ran{false};
  std::atomic<BufferStatus> told{BufferStatus::recording};
  stream.run("never runs", [&] { ran = true; });
  stream.on_completed([&](const Completion& completion) { told = completion.status; });
  CommandBuffer buffer = stream.commit();
  const auto start = std::chrono::steady_clock::now();
  device.core().close(CloseMode::exit);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  EXPECT_TRUE(device.backend().cancelled());
  EXPECT_EQ(told, BufferStatus::recording);
  // The fake's queues do not move by themselves; when they do, what is left is told that it was closed.
  device.backend().step_all();
  expect_code(ErrorCode::Closed, [&] { buffer.wait(10s); });
  device.pool().dispatcher().wait_until_idle(std::nullopt);
  EXPECT_EQ(told, BufferStatus::closed);
  EXPECT_FALSE(ran);
}

TEST(Close, AtExitTellsTheHandlersWhereItCan) {
  FakeDevice device;
  keep_forever(device.core());
  device.run_freely(1);
  StreamLease lease = device.lease(), other = device.lease();
  std::atomic<int> closed{0}, all{0};
  const auto note = [&](const Completion& completion) {
    ++all;
    if (completion.status == BufferStatus::closed) ++closed;
  };
  other.stream().run("never committed", nothing);
  other.stream().on_completed(note);
  Event event = device.event();
  event.record(other.stream());
  lease.stream().wait_event(event);
  lease.stream().on_scheduled(note);
  lease.stream().on_completed(note);
  lease.stream().commit();
  device.core().close(CloseMode::exit);
  EXPECT_EQ(all, 3);
  EXPECT_EQ(closed, 2);
}

TEST(Close, AtExitWaitsForHandlersOfWhatOnlyStoppingTheBackendReports) {
  StreamPool::Options options = FakeDevice::few_streams();
  options.exit_wait = 300ms;
  FakeDevice device(options);
  keep_forever(device.core());
  device.run_freely(1);
  Stream stream = device.default_stream();
  std::atomic<bool> running{false}, told{false};
  stream.run("outlasts the wait", [&] {
    running = true;
    std::this_thread::sleep_for(500ms);
  });
  stream.on_completed([&](const Completion&) {
    std::this_thread::sleep_for(30ms);
    told = true;
  });
  stream.commit();
  while (!running) std::this_thread::yield();
  device.core().close(CloseMode::exit);
  EXPECT_TRUE(told);
}

TEST(Close, AtExitFromAHandlerDoesNotWait) {
  FakeDevice device;
  keep_forever(device.core());
  device.run_freely(1);
  Stream stream = device.default_stream();
  std::atomic<bool> returned{false};
  stream.on_completed([&](const Completion&) {
    device.core().close(CloseMode::exit);
    returned = true;
  });
  stream.commit();
  device.pool().dispatcher().wait_until_idle(std::nullopt);
  EXPECT_TRUE(returned);
}

TEST(CloseStress, DuringEverything) {
  for (int round = 0; round < 20; ++round) {
    FakeDevice device(FakeDevice::few_streams(4));
    device.run_freely(2);
    std::vector<Event> events;
    for (int i = 0; i < 4; ++i) events.push_back(device.event());
    std::thread closer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(300 * round));
      device.close();
    });
    on_threads(4, [&](int number) {
      try {
        for (int i = 0;; ++i) {
          Stream stream = i % 2 == 0 ? device.stream() : device.default_stream();
          stream.run("work", nothing);
          Event& mine = events[static_cast<std::size_t>(number)];
          mine.record(stream);
          stream.wait_event(events[static_cast<std::size_t>((number + 1) % 4)]);
          if (i % 3 == 0) stream.on_completed([](const Completion&) {});
          CommandBuffer buffer = stream.commit();
          if (i % 5 == 0) buffer.wait();
          if (i % 7 == 0) stream.wait();
        }
      } catch (const Error& error) {
        // A thread that was refused ends, and its lease with it, maybe before the closer gets to its stream.
        const bool refused = error.code() == ErrorCode::Closed || error.rule() == "waited-work-abandoned";
        EXPECT_TRUE(refused) << error.what();
      }
    });
    closer.join();
  }
}

}  // namespace
}  // namespace millrace::test
