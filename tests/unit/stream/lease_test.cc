// Leases: who gets which stream, when none is free, and what ends with them.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using namespace std::chrono_literals;

StreamPool::Options with(ExhaustionPolicy policy, int streams = 3) {
  StreamPool::Options options = FakeDevice::few_streams(streams);
  options.exhaustion = policy;
  options.exhaustion_timeout = 20ms;
  return options;
}

TEST(Lease, EachAloneWhileThereAreFreeOnes) {
  FakeDevice device(with(ExhaustionPolicy::fail, 5));
  std::set<int> slots;
  std::vector<StreamLease> leases;
  for (int i = 0; i < 4; ++i) {
    leases.push_back(device.lease());
    slots.insert(leases.back().stream().id());
  }
  EXPECT_EQ(slots, (std::set<int>{1, 2, 3, 4}));  // never the default stream
  EXPECT_EQ(device.pool().stats().leased, 4);
  leases.clear();
  EXPECT_EQ(device.pool().stats().leased, 0);
  EXPECT_EQ(device.pool().stats().leases, 4u);
}

TEST(Lease, AThreadKeepsItsOwnUntilItEnds) {
  FakeDevice device;
  Stream of_thread;
  std::thread([&] {
    of_thread = device.stream();
    EXPECT_EQ(device.stream(), of_thread);
    EXPECT_EQ(device.pool().stats().leased, 1);
  }).join();
  EXPECT_EQ(device.pool().stats().leased, 0);
  expect_rule("stale-stream", [&] { of_thread.run("late", [] {}); });
}

TEST(Lease, ShareGivesThemInTurnAndCounts) {
  FakeDevice device(with(ExhaustionPolicy::share));
  StreamLease a = device.lease(), b = device.lease();
  StreamLease c = device.lease(), d = device.lease();
  EXPECT_NE(c.stream().id(), d.stream().id());
  EXPECT_NE(c.stream().id(), 0);
  EXPECT_EQ(device.pool().stats().shared_leases, 2u);
  EXPECT_EQ(device.pool().stats().leased, 2);

  // The handle stays valid, and what was recorded stays, while anybody holds the slot.
  StreamLease& shared_with_a = c.stream().id() == a.stream().id() ? c : d;
  EXPECT_EQ(shared_with_a.stream(), a.stream());
  Stream stream = a.stream();
  bool ran = false;
  stream.run("kept", [&] { ran = true; });
  a.reset();
  stream.commit();
  device.backend().step_all();
  EXPECT_TRUE(ran);
  shared_with_a.reset();
  expect_rule("stale-stream", [&] { stream.commit(); });
}

TEST(Lease, ShareWithoutOthersGivesTheDefaultStream) {
  FakeDevice device(with(ExhaustionPolicy::share, 1));
  StreamLease a = device.lease(), b = device.lease();
  EXPECT_EQ(a.stream().id(), 0);
  EXPECT_EQ(a.stream(), device.default_stream());
  a.reset();
  b.stream().run("still valid", [] {});
}

TEST(Lease, FailThrows) {
  FakeDevice device(with(ExhaustionPolicy::fail));
  StreamLease a = device.lease(), b = device.lease();
  expect_code(ErrorCode::PoolExhausted, [&] { device.lease(); });
  expect_code(ErrorCode::PoolExhausted, [&] { device.stream(); });
  b.reset();
  EXPECT_NO_THROW(device.lease());
}

TEST(Lease, WaitTimesOutOrGetsTheNextReturned) {
  FakeDevice device(with(ExhaustionPolicy::wait, 2));
  StreamLease a = device.lease();
  expect_code(ErrorCode::TimedOut, [&] { device.lease(); });

  StreamPool::Options patient = with(ExhaustionPolicy::wait, 2);
  patient.exhaustion_timeout = 60s;
  FakeDevice other(patient);
  StreamLease held = other.lease();
  const int slot = held.stream().id();
  std::thread waiter([&] { EXPECT_EQ(other.lease().stream().id(), slot); });
  std::this_thread::sleep_for(10ms);
  held.reset();
  waiter.join();
}

TEST(Lease, IsNotWaitedForInAHandlerOrTask) {
  StreamPool::Options patient = with(ExhaustionPolicy::wait, 2);
  patient.exhaustion_timeout = 60s;
  FakeDevice device(patient);
  StreamLease held = device.lease();
  std::optional<Error> in_handler, in_task;
  Stream stream = held.stream();
  stream.run("task", [&] { in_task = error_of([&] { device.lease(); }); });
  stream.on_completed([&](const Completion&) { in_handler = error_of([&] { device.lease(); }); });
  stream.commit();
  device.backend().step_all();
  device.pool().dispatcher().wait_until_idle(std::nullopt);
  ASSERT_TRUE(in_handler && in_task);
  EXPECT_EQ(in_handler->code(), ErrorCode::PoolExhausted);
  EXPECT_EQ(in_task->code(), ErrorCode::PoolExhausted);
}

TEST(Lease, WaitersGetClosedWhenTheDeviceCloses) {
  StreamPool::Options patient = with(ExhaustionPolicy::wait, 2);
  patient.exhaustion_timeout = 60s;
  FakeDevice device(patient);
  StreamLease held = device.lease();
  std::thread waiter([&] { expect_code(ErrorCode::Closed, [&] { device.lease(); }); });
  std::thread thread_waiter([&] { expect_code(ErrorCode::Closed, [&] { device.stream(); }); });
  std::this_thread::sleep_for(10ms);
  device.close();
  waiter.join();
  thread_waiter.join();
}

TEST(Lease, MovesAndEndsOnce) {
  FakeDevice device(with(ExhaustionPolicy::fail));
  StreamLease a = device.lease();
  StreamLease b = std::move(a);
  a.reset();
  EXPECT_EQ(device.pool().stats().leased, 1);
  StreamLease c = device.lease();
  c = std::move(b);
  EXPECT_EQ(device.pool().stats().leased, 1);
  std::thread([lease = std::move(c)] {}).join();  // a thread that never used the device
  EXPECT_EQ(device.pool().stats().leased, 0);
}

TEST(Lease, MayOutliveTheDevice) {
  StreamLease lease;
  Stream stream;
  {
    FakeDevice device;
    lease = device.lease();
    stream = lease.stream();
  }
  expect_code(ErrorCode::Closed, [&] { stream.commit(); });
  lease.reset();
}

TEST(Lease, AHandleOfAnEarlierLeaseIsNeverTheNextOnes) {
  FakeDevice device(with(ExhaustionPolicy::fail, 2));
  std::vector<Stream> old;
  for (int i = 0; i < 5; ++i) {
    StreamLease lease = device.lease();
    for (Stream& stream : old) expect_rule("stale-stream", [&] { stream.run("theirs", [] {}); });
    old.push_back(lease.stream());
  }
}

// A thread keeps the slot of a lease that it has ended: nobody may miss it (S6).
TEST(Lease, WhatAThreadHasParkedServesOthers) {
  for (const ExhaustionPolicy policy :
       {ExhaustionPolicy::share, ExhaustionPolicy::fail, ExhaustionPolicy::wait}) {
    FakeDevice device(with(policy, 2));
    device.lease().reset();
    EXPECT_EQ(device.pool().stats().leased, 0);
    std::thread([&] {
      StreamLease lease = device.lease();
      EXPECT_EQ(lease.stream().id(), 1);
      EXPECT_EQ(device.pool().stats().shared_leases, 0u);
    }).join();
    EXPECT_EQ(device.lease().stream().id(), 1);  // that thread's end has given it back
    EXPECT_EQ(device.pool().stats().leases, 3u);
  }
}

TEST(Lease, AParkedSlotGoesBackWithItsThread) {
  FakeDevice device(with(ExhaustionPolicy::fail, 3));
  std::thread([&] {
    static_cast<void>(device.stream());
    device.lease().reset();
  }).join();
  StreamLease a = device.lease(), b = device.lease();
  EXPECT_NE(a.stream().id(), b.stream().id());
  EXPECT_EQ(device.pool().stats().leases, 4u);
}

TEST(Lease, ASecondSlotIsNotParked) {
  FakeDevice device(with(ExhaustionPolicy::fail, 4));
  StreamLease a = device.lease(), b = device.lease(), c = device.lease();
  a.reset();
  b.reset();
  std::thread([&] { EXPECT_NE(device.lease().stream().id(), c.stream().id()); }).join();
  StreamLease d = device.lease(), e = device.lease();
  EXPECT_NE(d.stream().id(), e.stream().id());
  expect_code(ErrorCode::PoolExhausted, [&] { device.lease(); });
}

TEST(Lease, AParkedSlotsOldHandleIsStale) {
  FakeDevice device(with(ExhaustionPolicy::fail, 2));
  StreamLease lease = device.lease();
  Stream old = lease.stream();
  old.run("given up", [] { ADD_FAILURE() << "ran after its lease had ended"; });
  lease.reset();
  expect_rule("stale-stream", [&] { old.commit(); });
  lease = device.lease();
  EXPECT_EQ(lease.stream().id(), old.id());
  expect_rule("stale-stream", [&] { old.commit(); });
  lease.stream().run("new", [] {});
  lease.stream().commit();
  device.backend().step_all();
}

// S6, S10: no slot is ever with two, and no waiter sleeps while one is parked: with one slot fewer than
// threads, each of them would wait for its full minute.
TEST(LeaseStress, ParkedAndWaitedForAtOnce) {
  StreamPool::Options options = with(ExhaustionPolicy::wait, 4);
  options.exhaustion_timeout = 60s;
  FakeDevice device(options);
  std::array<std::atomic<int>, 4> holders{};
  constexpr int kThreads = 4, kLeases = 3000;
  const auto begin = std::chrono::steady_clock::now();
  on_threads(kThreads, [&](int) {
    for (int i = 0; i < kLeases; ++i) {
      StreamLease lease = device.lease();
      auto& count = holders[static_cast<std::size_t>(lease.stream().id())];
      EXPECT_EQ(count.fetch_add(1), 0);
      if (i % 8 == 0) lease.stream().run("given up", [] {});
      EXPECT_EQ(count.fetch_sub(1), 1);
    }
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 55s) << "a waiter slept though a slot was free";
  EXPECT_EQ(device.pool().stats().leased, 0);
  EXPECT_EQ(device.pool().stats().leases, std::uint64_t{kThreads} * kLeases);
}

// S8: one thread leases and ends, another records through the handle that it was shown last. What that was
// allowed to record is in a buffer of the lease that was shown, never in one that a later lease has begun.
TEST(LeaseStress, RecordedThroughHandlesOfLeasesThatEnd) {
  FakeDevice device(with(ExhaustionPolicy::fail, 2));
  device.run_freely(1);
  std::mutex mutex;
  Stream shown;                                  // guarded by mutex
  std::set<std::uint64_t> of_holder, of_others;  // sequences of buffers; the dispatcher's thread alone
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> recorded{0};
  std::thread recorder([&] {
    while (!over.load()) {
      Stream stream;
      {
        const std::lock_guard lock(mutex);
        stream = shown;
      }
      if (!stream.valid()) continue;
      try {
        stream.on_completed([&](const Completion& completion) { of_others.insert(completion.sequence); });
        if (++recorded % 2 == 0) stream.commit();
      } catch (const Error& error) {
        EXPECT_EQ(error.rule(), "stale-stream") << error.what();
      }
    }
  });
  std::size_t leases = 0;
  // On a machine that is busy the recorder may only begin when 20,000 are over.
  for (; leases < 20000 || (recorded == 0 && leases < 2'000'000); ++leases) {
    StreamLease lease = device.lease();
    lease.stream().on_completed([&](const Completion& completion) { of_holder.insert(completion.sequence); });
    lease.stream().commit();  // before anybody is shown the stream
    {
      const std::lock_guard lock(mutex);
      shown = lease.stream();
    }
    if (leases % 64 == 0) std::this_thread::yield();
  }
  over = true;
  recorder.join();
  device.close();
  EXPECT_EQ(of_holder.size(), leases);
  EXPECT_GT(recorded.load(), 0u);
  for (const std::uint64_t sequence : of_others) EXPECT_FALSE(of_holder.contains(sequence)) << sequence;
}

TEST(LeaseStress, AThousandThreadsInTurn) {
  FakeDevice device(FakeDevice::few_streams(4));
  device.run_freely(1);
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) {
    std::vector<std::thread> threads;
    for (int k = 0; k < 10; ++k) {
      threads.emplace_back([&] {
        Stream stream = device.stream();
        CommandBuffer mine = stream.command_buffer();
        stream.run("count", [&] { ++ran; });
        stream.wait();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(ran, 1000);
  EXPECT_EQ(device.pool().stats().leased, 0);
}

TEST(LeaseStress, PoolClosedWhileThreadsExit) {
  for (int round = 0; round < 10; ++round) {
    FakeDevice device(FakeDevice::few_streams(4));
    device.run_freely(1);
    std::thread closer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(200 * round));
      device.close();
    });
    on_threads(8, [&](int) {
      for (int i = 0; i < 10; ++i) {
        std::thread([&] {
          try {
            device.stream().run("work", [] {});
          } catch (const Error& error) {
            EXPECT_TRUE(error.code() == ErrorCode::Closed || error.rule() == "stale-stream") << error.what();
          }
        }).join();
      }
    });
    closer.join();
  }
}

TEST(Lease, FailuresOfTheLastHolderAreNotTheNextOnes) {
  FakeDevice device(with(ExhaustionPolicy::fail, 2));
  const auto commit_failing = [](Stream stream, const char* name) {
    stream.run(name, [name] { throw std::runtime_error(name); });
    stream.commit();
  };
  // One fails before the lease ends, one after.
  std::thread([&] {
    commit_failing(device.stream(), "early");
    device.backend().step_all();
    commit_failing(device.stream(), "late");
  }).join();
  StreamLease next = device.lease();
  ASSERT_EQ(next.stream().id(), 1);
  device.backend().step_all();
  next.stream().wait();

  commit_failing(next.stream(), "own");
  device.backend().step_all();
  const std::optional<Error> own = error_of([&] { next.stream().wait(); });
  ASSERT_TRUE(own);
  EXPECT_NE(own->message().find("own"), std::string::npos) << own->what();

  const std::optional<Error> untold = error_of([&] { device.pool().synchronize("test"); });
  ASSERT_TRUE(untold);
  EXPECT_NE(untold->message().find("early"), std::string::npos) << untold->what();
  device.pool().synchronize("test");
}

TEST(Lease, HandlesOfNoStreamAreRefused) {
  FakeDevice device;
  StreamPool& pool = device.pool();
  for (const int slot : {-1, 4, 1 << 30}) {
    const StreamId wrong{slot, 1};
    const auto refused = [](auto&& call) { expect_code(ErrorCode::InvalidArgument, call); };
    refused([&] { pool.check_handle(wrong, "test"); });
    refused([&] { pool.record(wrong, Operation(), "test"); });
    refused([&] { pool.current_buffer(wrong, "test"); });
    refused([&] { pool.open_recorder(wrong, "test"); });
    refused([&] {
      pool.add_handler(
          wrong, HandlerKind::completed, [](const Completion&) {}, "test");
    });
    refused([&] { pool.wait_for(wrong, {0, 0}, "test"); });
    refused([&] { pool.commit(wrong, "test"); });
    refused([&] { pool.wait(wrong, std::nullopt, "test"); });
    refused([&] { pool.query(wrong, "test"); });
    Event event = device.event();
    refused([&] { pool.set_mark(wrong, device.events().slot(0), "test"); });
  }
}

}  // namespace
}  // namespace millrace::test
