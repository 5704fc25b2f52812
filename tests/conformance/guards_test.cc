// Device guards and stream guards: what they make current, and that they put it back, on any thread.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
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

/// The same device, whichever handles? By their streams: names may be the same.
bool same(Device one, Device other) {
  return one.default_stream() == other.default_stream();
}

struct Guards : testing::Test {
  const Watchdog watchdog{"a test of guards"};
  Device first = create_test_device({.workers = 2});
  Device second = create_test_device({.workers = 2});
};

TEST_F(Guards, ADeviceGuardNestsAndRestores) {
  const DeviceGuard outer(first);
  EXPECT_TRUE(same(current_device(), first));
  {
    DeviceGuard inner(second);
    EXPECT_TRUE(same(current_device(), second));
    EXPECT_TRUE(same(inner.original(), first));
    EXPECT_TRUE(same(inner.current(), second));
    inner.set(first);
    EXPECT_TRUE(same(current_device(), first));
    EXPECT_TRUE(same(inner.current(), first));
    inner.set(second);
    EXPECT_TRUE(same(inner.original(), first));
  }
  EXPECT_TRUE(same(current_device(), first));
}

TEST_F(Guards, AStreamGuardNestsAndRestores) {
  StreamLease one = first.lease(), two = first.lease(), elsewhere = second.lease();
  const Stream own = first.stream();
  {
    StreamGuard outer(one.stream());
    EXPECT_EQ(first.stream(), one.stream());
    EXPECT_EQ(outer.current(), one.stream());
    EXPECT_TRUE(same(current_device(), first));
    {
      StreamGuard inner(two.stream());
      EXPECT_EQ(inner.original(), one.stream());
      EXPECT_EQ(first.stream(), two.stream());
      inner.set(elsewhere.stream());
      EXPECT_TRUE(same(current_device(), second));
      EXPECT_EQ(second.stream(), elsewhere.stream());
      EXPECT_EQ(inner.current(), elsewhere.stream());
      EXPECT_EQ(first.stream(), one.stream());  // what the guard has left is as before
    }
    EXPECT_EQ(first.stream(), one.stream());
    EXPECT_NE(second.stream(), elsewhere.stream());
    EXPECT_TRUE(same(current_device(), first));
    std::thread([&] { EXPECT_NE(first.stream(), one.stream()); }).join();  // this thread's only
  }
  EXPECT_EQ(first.stream(), own);
}

TEST_F(Guards, AllocationsAreForTheGuardedStream) {
  StreamLease lease = first.lease();
  StreamHold hold(lease.stream());
  void* memory = nullptr;
  {
    const StreamGuard guard(lease.stream());
    memory = first.allocate(4096);
  }
  // Its own stream's order is enough to free it; of another stream it would have to be said.
  lease.stream().fill(memory, 1, 4096);
  EXPECT_NO_THROW(first.deallocate(memory));
  hold.open();
  lease.stream().wait(kLimit);
}

TEST_F(Guards, NothingAndWhatHasEndedAreRefused) {
  expect_code(ErrorCode::Closed, [] { const DeviceGuard guard{Device()}; });
  EXPECT_THROW(const StreamGuard guard{Stream()}, Error);
  StreamLease lease = first.lease();
  const Stream stale = lease.stream();
  StreamLease other = first.lease();
  {
    StreamGuard guard(lease.stream());
    lease.reset();
    expect_rule("stale-stream", [&] { first.allocate(64); });  // no other stream is taken in its place
    expect_rule("stale-stream", [&] { first.stream().commit(); });
    expect_rule("stale-stream", [&] { guard.set(stale); });
    guard.set(other.stream());
    EXPECT_NO_THROW(first.buffer(64).reset());
  }
  EXPECT_NO_THROW(first.buffer(64).reset());
  expect_rule("stale-stream", [&] { const StreamGuard guard(stale); });
  EXPECT_NO_THROW(first.stream().commit());
}

TEST_F(Guards, WhatIsRestoredMayHaveEndedMeanwhile) {
  StreamLease lease = first.lease();
  const DeviceGuard around(second);
  {
    const StreamGuard outer(lease.stream());
    {
      const DeviceGuard inner(second);
      first.close();
    }
    expect_code(ErrorCode::Closed, [&] { first.stream(); });
    expect_code(ErrorCode::Closed, [] { current_device().allocate(10); });
  }
  EXPECT_TRUE(same(current_device(), second));
  EXPECT_NO_THROW(current_device().buffer(10).reset());
}

TEST_F(Guards, WorkInHandlersAndTasks) {
  StreamLease lease = first.lease();
  std::atomic<int> done = 0;
  Stream stream = second.stream();
  const auto use_guards = [&] {
    const DeviceGuard device(second);
    EXPECT_TRUE(same(current_device(), second));
    const StreamGuard guard(lease.stream());
    EXPECT_TRUE(same(current_device(), first));
    EXPECT_EQ(first.stream(), lease.stream());
    first.buffer(100).reset();
    ++done;
  };
  stream.run("guards", use_guards);
  stream.on_completed([&](const Completion&) { use_guards(); });
  stream.commit();
  second.synchronize();
  EXPECT_EQ(done, 2);
}

TEST_F(Guards, EndedOnAnotherThreadTheyLeaveItAlone) {
  StreamLease lease = first.lease(), other = first.lease();
  auto device_guard = std::make_unique<DeviceGuard>(first);
  auto stream_guard = std::make_unique<StreamGuard>(lease.stream());
  std::thread([&] {
    const StreamGuard mine(other.stream());
    const DeviceGuard device(second);
    expect_rule("guard-on-other-thread", [&] { stream_guard->set(lease.stream()); });
    expect_rule("guard-on-other-thread", [&] { device_guard->set(first); });
    stream_guard.reset();
    device_guard.reset();
    EXPECT_TRUE(same(current_device(), second));
    EXPECT_EQ(first.stream(), other.stream());
  }).join();
}

/// What guards have made current on a thread, kept beside them.
class Nest {
 public:
  Nest(const std::vector<Device>& devices, Random& random) : devices_(devices), random_(random) {
    for (const Device& device : devices) {
      leases_.push_back(Device(device).lease());
      streams_.push_back(Device(device).stream());
    }
  }

  /// Nests guards at random to the given depth, and checks all that is current after each step.
  void descend(int depth) {
    if (depth == 0) return;
    const auto device_before = device_;
    const auto streams_before = streams_;
    const std::size_t chosen = random_.below(devices_.size());
    if (random_.one_in(2)) {
      DeviceGuard guard(devices_[chosen]);
      device_ = chosen;
      expect_current();
      descend(depth - 1);
      if (random_.one_in(2)) {
        device_ = random_.below(devices_.size());
        guard.set(devices_[*device_]);
        expect_current();
      }
      descend(depth - 1);
    } else {
      const StreamGuard guard(leases_[chosen].stream());
      device_ = chosen;
      streams_[chosen] = leases_[chosen].stream();
      expect_current();
      descend(depth - 1);
      descend(depth - 1);
    }
    device_ = device_before;
    streams_ = streams_before;
    expect_current();
  }

 private:
  void expect_current() {
    if (device_) {
      EXPECT_TRUE(same(current_device(), devices_[*device_]));
    }
    for (std::size_t i = 0; i < devices_.size(); ++i) EXPECT_EQ(Device(devices_[i]).stream(), streams_[i]);
  }

  const std::vector<Device>& devices_;
  Random& random_;
  std::vector<StreamLease> leases_;
  std::optional<std::size_t> device_;  // none at first: whatever a thread begins with
  std::vector<Stream> streams_;
};

TEST_F(Guards, NestOnManyThreadsAtOnce) {
  const std::uint64_t seed = seed_of_run();
  const std::vector<Device> devices = {first, second, create_test_device({.workers = 1})};
  const std::size_t rounds = scaled(40, 8);
  on_threads(8, [&](int number) {
    Random random(seed, static_cast<std::size_t>(number));
    Nest nest(devices, random);
    for (std::size_t round = 0; round < rounds; ++round) nest.descend(7);
  });
  for (const Device& device : devices) EXPECT_EQ(device.streams().leased, 0);
}

}  // namespace
}  // namespace millrace::test
