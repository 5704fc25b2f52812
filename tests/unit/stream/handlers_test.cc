// Handlers: each exactly once, in order, whatever happens to the work.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using namespace std::chrono_literals;

void nothing() {}

class Handlers : public testing::Test {
 protected:
  /// Notes what a handler is told, under a name.
  Handler note(std::string name) {
    return [this, name = std::move(name)](const Completion& completion) {
      const std::lock_guard lock(mutex_);
      told_.push_back(name + " " + to_string(completion.status));
    };
  }
  std::vector<std::string> told() {
    device_.pool().dispatcher().wait_until_idle(std::nullopt);
    const std::lock_guard lock(mutex_);
    return told_;
  }

  std::mutex mutex_;
  std::vector<std::string> told_;
  FakeDevice device_;
  StreamLease lease_ = device_.lease();
  Stream stream_ = lease_.stream();
};

using Names = std::vector<std::string>;

TEST_F(Handlers, ScheduledThenCompletedInOrderOfBuffers) {
  for (const char* name : {"1", "2"}) {
    stream_.on_completed(note(std::string("completed ") + name));
    stream_.on_scheduled(note(std::string("scheduled ") + name));
    stream_.run("work", nothing);
    stream_.commit();
  }
  EXPECT_EQ(told(), (Names{"scheduled 1 scheduled", "scheduled 2 scheduled"}));
  device_.backend().step_all();
  EXPECT_EQ(told(), (Names{"scheduled 1 scheduled", "scheduled 2 scheduled", "completed 1 completed",
                           "completed 2 completed"}));
  EXPECT_EQ(device_.pool().stats().handlers_run, 4u);
}

TEST_F(Handlers, HeldBuffersAreScheduledLater) {
  StreamLease other = device_.lease();
  other.stream().run("work", nothing);
  Event event = device_.event();
  event.record(other.stream());
  stream_.wait_event(event);
  stream_.on_scheduled(note("scheduled"));
  stream_.commit();
  EXPECT_EQ(told(), Names{});
  other.stream().commit();
  EXPECT_EQ(told(), Names{"scheduled scheduled"});
}

TEST_F(Handlers, HearOfFailure) {
  std::exception_ptr error;
  stream_.run("fails", [] { throw std::runtime_error("as told"); });
  stream_.on_completed(note("completed"));
  stream_.on_completed([&](const Completion& completion) { error = completion.error; });
  stream_.commit();
  device_.backend().step_all();
  EXPECT_EQ(told(), Names{"completed failed"});
  ASSERT_NE(error, nullptr);
  expect_code(ErrorCode::WorkFailed, [&] { std::rethrow_exception(error); });
}

TEST_F(Handlers, OfAbandonedBuffersRunInTheirTurn) {
  stream_.run("work", nothing);
  stream_.on_completed(note("first"));
  stream_.commit();
  CommandBuffer buffer = stream_.command_buffer();
  buffer.on_completed(note("completed"));
  buffer.on_scheduled(note("scheduled"));
  stream_.run("never", nothing);
  buffer.abandon();
  EXPECT_EQ(told(), Names{});
  device_.backend().step_all();
  EXPECT_EQ(told(), (Names{"first completed", "scheduled abandoned", "completed abandoned"}));
}

TEST_F(Handlers, OfALeaseThatEndsAreTold) {
  stream_.on_completed(note("no work"));
  lease_.reset();
  EXPECT_EQ(told(), Names{"no work abandoned"});
  EXPECT_EQ(device_.pool().stats().abandoned_buffers, 1u);
}

TEST_F(Handlers, SeeTheStateAndTellTheBackend) {
  std::atomic<bool> seen{false};
  CommandBuffer buffer = stream_.command_buffer();
  stream_.run("work", nothing);
  buffer.on_completed([&, buffer, stream = stream_](const Completion&) {
    seen = buffer.status() == BufferStatus::completed && stream.query();
  });
  stream_.commit();
  device_.backend().step_all();
  told();
  EXPECT_TRUE(seen);
  EXPECT_GE(device_.backend().known_to_host(stream_.id()), 1u);
}

TEST_F(Handlers, ExceptionsAreCounted) {
  stream_.on_completed([](const Completion&) { throw std::runtime_error("must not"); });
  stream_.on_completed(note("after"));
  stream_.commit();
  EXPECT_EQ(told(), Names{"after completed"});
  EXPECT_EQ(device_.pool().stats().handler_exceptions, 1u);
  EXPECT_EQ(device_.pool().stats().handlers_run, 2u);
}

TEST_F(Handlers, WhatTheyHoldIsDroppedThoughTheBufferIsKept) {
  auto held = std::make_shared<int>(1);
  CommandBuffer buffer = stream_.command_buffer();
  buffer.on_completed([held](const Completion&) {});
  buffer.commit();
  told();
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(Handlers, MustNotWaitForTheirOwnBuffer) {
  std::vector<std::string> rules;
  const auto rule_of = [&](auto&& call) {
    try {
      call();
      rules.push_back("none");
    } catch (const Error& error) {
      rules.push_back(error.rule());
    }
  };
  CommandBuffer buffer = stream_.command_buffer();
  stream_.run("work", nothing);
  buffer.on_scheduled([&, buffer](const Completion&) mutable {
    rule_of([&] { buffer.wait(); });
    rule_of([&] { stream_.wait(); });
    rule_of([&] { device_.pool().synchronize("test"); });
  });
  buffer.on_completed([&, buffer](const Completion&) mutable {
    rule_of([&] { buffer.wait(); });
    rule_of([&] { stream_.wait(); });  // its own is done: nothing to wait for
  });
  buffer.commit();
  told();
  device_.backend().step_all();
  told();
  EXPECT_EQ(rules, (Names{"wait-in-own-handler", "wait-in-own-handler", "wait-in-own-handler",
                          "wait-in-own-handler", "none"}));
}

TEST(HandlersAtTheLimit, CommitsAreQueued) {
  StreamPool::Options options = FakeDevice::few_streams();
  options.max_uncompleted = 2;
  FakeDevice device(options);
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  constexpr int kMore = 10;
  std::atomic<int> ran{0};
  std::vector<CommandBuffer> buffers;
  stream.on_completed([&](const Completion&) {
    for (int i = 0; i < kMore; ++i) {
      stream.run("more", [&] { ++ran; });
      buffers.push_back(stream.commit());
    }
  });
  stream.commit();
  device.pool().dispatcher().wait_until_idle(std::nullopt);
  ASSERT_EQ(buffers.size(), static_cast<std::size_t>(kMore));
  EXPECT_EQ(device.backend().pending(stream.id()), 2);
  EXPECT_EQ(buffers.back().status(), BufferStatus::committed);
  EXPECT_EQ(device.backend().step_all(), kMore);
  EXPECT_EQ(ran, kMore);
}

TEST(HandlersLast, TheLastHandleMayBeDroppedInOne) {
  auto device = std::make_unique<FakeDevice>();
  Core& core = device->core();
  sync::Ref<Core> kept = sync::Ref<Core>::share(&core);
  Stream stream = device->default_stream();
  core.add_handle();
  stream.on_completed([&core](const Completion&) { core.drop_handle(); });
  stream.run("work", nothing);
  stream.commit();
  device.reset();  // its own handle goes first or second, whichever
  EXPECT_FALSE(kept->is_open());
}

TEST(HandlersStress, EachRunsExactlyOnce) {
  FakeDevice device(FakeDevice::few_streams(5));
  device.run_freely(2);
  constexpr int kThreads = 8, kBuffers = 400, kHandlers = 4;
  std::vector<std::atomic<int>> runs(kThreads * kBuffers * kHandlers);
  std::atomic<int> added{0};
  std::vector<StreamLease> leases;
  for (int i = 0; i < 3; ++i) leases.push_back(device.lease());
  on_threads(kThreads, [&](int number) {
    Stream stream = leases[static_cast<std::size_t>(number % 3)].stream();
    for (int i = 0; i < kBuffers; ++i) {
      for (int k = 0; k < kHandlers; ++k) {
        auto& count = runs[static_cast<std::size_t>((number * kBuffers + i) * kHandlers + k)];
        const auto handler = [&count](const Completion&) { ++count; };
        k % 2 == 0 ? stream.on_scheduled(handler) : stream.on_completed(handler);
        ++added;
      }
      stream.run("work", [fails = i % 17 == 0] {
        if (fails) throw std::runtime_error("as told");
      });
      if (i % 29 == 0) {
        try {
          stream.command_buffer().abandon();
        } catch (const Error& error) {
          if (error.rule() != "commit-once") throw;  // another thread was first
        }
      } else {
        stream.commit();
      }
    }
  });
  device.close();
  for (const auto& count : runs) ASSERT_EQ(count, 1);
  EXPECT_EQ(device.pool().stats().handlers_run, static_cast<std::uint64_t>(added));
}

TEST(HandlersStress, EachRunsExactlyOnceWhenTheDeviceCloses) {
  for (int round = 0; round < 10; ++round) {
    FakeDevice device(FakeDevice::few_streams(5));
    device.run_freely(2);
    constexpr int kThreads = 4;
    std::atomic<int> added{0}, ran{0};
    std::thread closer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1 + round));
      device.close();
    });
    on_threads(kThreads, [&](int) {
      try {
        for (;;) {
          StreamLease lease = device.lease();
          Stream stream = lease.stream();
          for (int i = 0; i < 10; ++i) {
            stream.on_completed([&](const Completion&) { ++ran; });
            ++added;
            stream.run("work", nothing);
            stream.commit();
          }
        }
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Closed) << error.what();
      }
    });
    closer.join();
    EXPECT_EQ(ran, added);
  }
}

}  // namespace
}  // namespace millrace::test
