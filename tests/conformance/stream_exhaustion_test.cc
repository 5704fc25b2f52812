// What happens when all streams are leased: they are shared in turn, waited for, or refused.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;

Device with_streams(int streams, ExhaustionPolicy policy, milliseconds timeout = milliseconds(1000)) {
  return create_test_device({.streams = streams, .exhaustion = policy, .exhaustion_timeout = timeout});
}

TEST(StreamExhaustion, PolicyShareGivesStreamsInTurn) {
  const Watchdog watchdog("shared streams");
  Device device = with_streams(4, ExhaustionPolicy::share);  // three to lease
  std::vector<StreamLease> leases;
  std::map<int, int> holders;
  for (int i = 0; i < 12; ++i) {
    leases.push_back(device.lease());
    ++holders[leases.back().stream().id()];
  }
  EXPECT_EQ(holders, (std::map<int, int>{{1, 4}, {2, 4}, {3, 4}}));
  EXPECT_EQ(device.streams().leases, 12u);
  EXPECT_EQ(device.streams().shared_leases, 9u);

  // A shared stream stays until its last holder goes.
  const Stream first = leases[0].stream();
  std::vector<StreamLease> with_first;
  for (StreamLease& lease : leases) {
    if (lease.stream().id() == first.id()) with_first.push_back(std::move(lease));
  }
  ASSERT_EQ(with_first.size(), 4u);
  while (!with_first.empty()) {
    Stream still = with_first.back().stream();
    int ran = 0;
    still.run("task", [&ran] { ++ran; });
    still.wait(kLimit);
    EXPECT_EQ(ran, 1);
    with_first.pop_back();
  }
  expect_rule("stale-stream", [&] { static_cast<void>(first.query()); });
  // What has come free is given out before anything is shared again.
  leases.push_back(device.lease());
  EXPECT_EQ(leases.back().stream().id(), first.id());
  EXPECT_EQ(device.streams().shared_leases, 9u);
}

TEST(StreamExhaustion, ManyThreadsShareFewStreams) {
  Device device = with_streams(5, ExhaustionPolicy::share);
  constexpr int kThreads = 24;
  const std::size_t rounds = scaled(200);
  std::atomic<std::size_t> ran = 0;
  on_threads(kThreads, [&](int) {
    Stream stream = device.stream();
    for (std::size_t i = 0; i < rounds; ++i) {
      stream.run("count", [&] { ran.fetch_add(1); });
      if (i % 10 == 9) stream.wait(kLimit);
    }
    stream.wait(kLimit);
  });
  EXPECT_EQ(ran, kThreads * rounds);
  EXPECT_EQ(device.streams().leased, 0);
  EXPECT_EQ(device.streams().leases, std::uint64_t{kThreads});
}

TEST(StreamExhaustion, PolicyFailSaysThatThePoolIsExhausted) {
  const Watchdog watchdog("an exhausted pool");
  Device device = with_streams(3, ExhaustionPolicy::fail);
  StreamLease one = device.lease();
  StreamLease two = device.lease();
  expect_code(ErrorCode::PoolExhausted, [&] { device.lease(); });
  std::thread([&] {
    expect_code(ErrorCode::PoolExhausted, [&] { device.stream(); });
    expect_code(ErrorCode::PoolExhausted, [&] { device.allocate(100); });
    EXPECT_NO_THROW(device.default_stream().run("task", [] {}));
    one.reset();
    EXPECT_NO_THROW(device.stream());  // having failed before does not count against a thread
  }).join();
  EXPECT_EQ(device.streams().leased, 1);
}

TEST(StreamExhaustion, PolicyWaitTimesOut) {
  const Watchdog watchdog("waiting for a stream");
  Device device = with_streams(2, ExhaustionPolicy::wait, milliseconds(50));
  StreamLease lease = device.lease();
  const auto begin = std::chrono::steady_clock::now();
  expect_code(ErrorCode::TimedOut, [&] { device.stream(); });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(49));
  lease.reset();
  EXPECT_NO_THROW(device.stream());
}

TEST(StreamExhaustion, PolicyWaitHandsEveryStreamToOneAtATime) {
  Device device = with_streams(3, ExhaustionPolicy::wait, kLimit);
  std::atomic<int> holders = 0, most = 0;
  const std::size_t rounds = scaled(2000, 5);
  on_threads(8, [&](int number) {
    Random random(static_cast<std::uint64_t>(number));
    for (std::size_t i = 0; i < rounds; ++i) {
      StreamLease lease = device.lease();
      const int now = ++holders;
      for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
      }
      if (random.one_in(8)) std::this_thread::yield();
      --holders;
    }
  });
  EXPECT_EQ(most, 2);
  EXPECT_EQ(device.streams().leases, 8 * rounds);
  EXPECT_EQ(device.streams().shared_leases, 0u);
  EXPECT_EQ(device.streams().leased, 0);
}

TEST(StreamExhaustion, AHandlerDoesNotWaitForALease) {
  const Watchdog watchdog("a lease inside a handler");
  Device device = with_streams(2, ExhaustionPolicy::wait, kLimit);
  StreamLease lease = device.lease();
  std::atomic<bool> ended = false, refused = false;
  Stream stream = device.default_stream();
  stream.on_completed([&](const Completion&) {
    try {
      device.lease();
    } catch (const Error& error) {
      refused = error.code() == ErrorCode::PoolExhausted || error.code() == ErrorCode::TimedOut;
    }
    ended = true;
  });
  stream.commit();
  EXPECT_TRUE(eventually([&] { return ended.load(); }, kLimit / 4));
  EXPECT_TRUE(refused);
}

}  // namespace
}  // namespace millrace::test
