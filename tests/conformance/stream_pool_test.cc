// Leases of pooled streams: how long they last, what happens when there are too few, what a stale handle
// does.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;

Device with_streams(int streams, ExhaustionPolicy policy) {
  return create_test_device({.streams = streams, .exhaustion = policy});
}

TEST(StreamPool, AThreadsStreamIsItsOwnUntilItEnds) {
  const Watchdog watchdog("a thread's stream");
  Device device = with_streams(3, ExhaustionPolicy::fail);
  const Stream mine = device.stream();
  EXPECT_EQ(mine, device.stream());
  EXPECT_NE(mine, device.default_stream());
  EXPECT_EQ(device.default_stream().id(), 0);
  Stream theirs;
  std::thread([&] {
    theirs = device.stream();
    EXPECT_EQ(theirs, device.stream());
    EXPECT_EQ(device.streams().leased, 2);
  }).join();
  EXPECT_NE(mine.id(), theirs.id());
  EXPECT_EQ(device.streams().leased, 1);
  EXPECT_EQ(device.streams().leases, 2u);
  EXPECT_EQ(device.streams().shared_leases, 0u);
  EXPECT_EQ(device.streams().streams, 3);
}

TEST(StreamPool, AThousandThreadsInTurnShareTheOnlyStream) {
  const Watchdog watchdog("a thousand threads in turn");
  // Had any lease outlived its thread, the next thread would find nothing.
  Device device = with_streams(2, ExhaustionPolicy::fail);
  constexpr int kThreads = 1000;
  std::uint64_t ran = 0;
  for (int i = 0; i < kThreads; ++i) {
    std::thread([&] {
      Stream stream = device.stream();
      stream.run("count", [&] { ++ran; });
      stream.commit();  // not waited for: the stream's order keeps the tasks of two threads apart
    }).join();
  }
  device.synchronize();
  EXPECT_EQ(ran, std::uint64_t{kThreads});
  EXPECT_EQ(device.streams().leased, 0);
  EXPECT_EQ(device.streams().leases, std::uint64_t{kThreads});
  EXPECT_EQ(device.streams().abandoned_buffers, 0u);
}

TEST(StreamPool, ALeaseEndsOnceAndMoves) {
  const Watchdog watchdog("moving leases");
  Device device = with_streams(2, ExhaustionPolicy::fail);
  StreamLease first = device.lease();
  StreamLease second = std::move(first);
  EXPECT_FALSE(first.stream().valid());  // NOLINT(bugprone-use-after-move): what is being tested
  EXPECT_EQ(device.streams().leased, 1);
  first.reset();
  EXPECT_EQ(device.streams().leased, 1);
  second.stream().run("task", [] {});
  second.reset();
  second.reset();
  EXPECT_EQ(device.streams().leased, 0);
  second = device.lease();
  second = StreamLease();
  EXPECT_EQ(device.streams().leased, 0);
}

TEST(StreamPool, EveryMethodRefusesAStaleHandle) {
  const Watchdog watchdog("stale handles");
  Device device = with_streams(2, ExhaustionPolicy::fail);
  StreamLease lease = device.lease();
  Stream stale = lease.stream();
  Event event = device.event();
  Buffer buffer = device.buffer(device.default_stream(), 512);
  const TensorView number = contiguous(buffer.data(), DType::f32, {});
  const TensorView sum = contiguous(buffer.as<float>() + 1, DType::f32, {});
  auto* figures = reinterpret_cast<Statistics*>(buffer.as<std::byte>() + 256);
  lease.reset();

  const auto expect_refused = [&] {
    expect_rule("stale-stream", [&] { stale.copy(buffer.data(), buffer.data(), 0); });
    expect_rule("stale-stream", [&] { stale.fill(buffer.data(), 0, 1); });
    expect_rule("stale-stream", [&] { stale.run("task", [] { ADD_FAILURE() << "ran"; }); });
    expect_rule("stale-stream", [&] { stale.record(); });
    expect_rule("stale-stream", [&] { stale.wait_event(event); });
    expect_rule("stale-stream",
                [&] { stale.on_scheduled([](const Completion&) { ADD_FAILURE() << "ran"; }); });
    expect_rule("stale-stream",
                [&] { stale.on_completed([](const Completion&) { ADD_FAILURE() << "ran"; }); });
    expect_rule("stale-stream", [&] { stale.command_buffer(); });
    expect_rule("stale-stream", [&] { stale.commit(); });
    expect_rule("stale-stream", [&] { stale.wait(); });
    expect_rule("stale-stream", [&] { stale.wait(milliseconds(1)); });
    expect_rule("stale-stream", [&] { static_cast<void>(stale.query()); });
    expect_rule("stale-stream", [&] { event.record(stale); });
    expect_rule("stale-stream", [&] { device.allocate(stale, 64); });
    expect_rule("stale-stream", [&] { device.buffer(stale, 64); });
    expect_rule("stale-stream", [&] { device.record_use(buffer.data(), stale); });
    expect_rule("stale-stream", [&] { device.record_stream(buffer.data(), stale); });
    expect_rule("stale-stream", [&] { const StreamGuard guard(stale); });
    expect_rule("stale-stream", [&] { reduce(stale, ReduceOp::sum, number, sum); });
    expect_rule("stale-stream", [&] { statistics(stale, number, figures); });
  };
  expect_refused();
  // The same slot in other hands is another stream.
  StreamLease other = device.lease();
  ASSERT_EQ(other.stream().id(), stale.id());
  EXPECT_FALSE(other.stream() == stale);
  expect_refused();
  EXPECT_EQ(device.streams().command_buffers, 0u);

  Stream of_thread;
  other.reset();
  std::thread([&] { of_thread = device.stream(); }).join();
  expect_rule("stale-stream", [&] { of_thread.commit(); });
}

TEST(StreamPool, NoStreamAndTheDefaultStream) {
  const Watchdog watchdog("no stream");
  Device device = with_streams(1, ExhaustionPolicy::share);  // nothing to lease but the default
  Stream nothing;
  EXPECT_FALSE(nothing.valid());
  EXPECT_ANY_THROW(nothing.commit());
  EXPECT_ANY_THROW(device.allocate(nothing, 10));
  on_threads(4, [&](int) {
    int ran = 0;
    Stream stream = device.default_stream();
    stream.run("task", [&ran] { ++ran; });
    stream.wait(kLimit);
    EXPECT_EQ(ran, 1);
  });
  EXPECT_TRUE(device.default_stream().query());
}

TEST(StreamPool, TheNumberOfStreamsIsChecked) {
  expect_code(ErrorCode::InvalidArgument, [] { create_test_device({.streams = 0}); });
  expect_code(ErrorCode::InvalidArgument, [] { create_test_device({.streams = 1025}); });
  Device most = create_test_device({.streams = 1024, .exhaustion = ExhaustionPolicy::fail});
  std::vector<StreamLease> leases;
  std::set<int> ids;
  for (int i = 0; i < 1023; ++i) {
    leases.push_back(most.lease());
    ids.insert(leases.back().stream().id());
  }
  EXPECT_EQ(ids.size(), 1023u);
  expect_code(ErrorCode::PoolExhausted, [&] { most.lease(); });
}

TEST(StreamPool, AnEndingLeaseAbandonsWhatWasNotCommitted) {
  const Watchdog watchdog("ending a lease");
  Device device = with_streams(2, ExhaustionPolicy::fail);
  StreamLease lease = device.lease();
  Stream stream = lease.stream();
  StreamHold hold(stream);
  std::atomic<int> committed = 0, uncommitted = 0;
  stream.run("committed", [&] { ++committed; });
  CommandBuffer first = stream.commit();
  stream.run("uncommitted", [&] { ++uncommitted; });
  CommandBuffer second = stream.command_buffer();
  std::atomic<int> told = 0;
  second.on_completed([&](const Completion& completion) {
    EXPECT_EQ(completion.status, BufferStatus::abandoned);
    ++told;
  });
  lease.reset();
  EXPECT_EQ(second.status(), BufferStatus::abandoned);
  hold.open();
  first.wait(kLimit);
  device.synchronize();
  EXPECT_EQ(committed, 1);
  EXPECT_EQ(uncommitted, 0);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(device.streams().abandoned_buffers, 1u);
}

TEST(StreamPool, ClosedWhileThreadsExit) {
  const std::uint64_t seed = seed_of_run();
  const std::size_t rounds = scaled(400, 10);
  for (std::size_t round = 0; round < rounds; ++round) {
    Device device = with_streams(4, ExhaustionPolicy::share);
    std::atomic<int> handlers = 0, told = 0;
    on_threads(9, [&](int number) {
      Random random(seed, round * 16 + static_cast<std::size_t>(number));
      for (std::size_t spin = random.below(3000); spin > 0; --spin)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      if (number == 8) return device.close();
      try {
        Stream stream = device.stream();
        StreamLease lease = random.one_in(2) ? device.lease() : StreamLease();
        stream.on_completed([&](const Completion&) { ++told; });
        ++handlers;
        if (random.one_in(2)) stream.commit();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Closed) << error.what();
      }
    });
    EXPECT_FALSE(device.is_open());
    EXPECT_EQ(told, handlers) << "round " << round;
    expect_code(ErrorCode::Closed, [&] { device.lease(); });
  }
}

}  // namespace
}  // namespace millrace::test
