// Leases of streams that somebody else made, and what their ends leave, over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <thread>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/owned_stream.h"

namespace millrace::test {
namespace {

class WrappedLeases : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(2); }
  void SetUp() override { dead_before_ = fake_cuda_dead_handles(); }
  void TearDown() override {
    before_fake_cuda(FakeCall::stream_query, nullptr);
    before_fake_cuda(FakeCall::event_record, nullptr);
    EXPECT_EQ(fake_cuda_dead_handles(), dead_before_);
  }

 private:
  std::size_t dead_before_ = 0;
};

// S14
TEST_F(WrappedLeases, AStreamIsNotAskedWhetherItIsIdleAfterItsLease) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  std::atomic<bool> destroyed = false;
  std::thread owner;
  before_fake_cuda(FakeCall::stream_query, [&] {
    owner = std::thread([&] {
      lease.reset();
      owned.destroy();
      destroyed = true;
    });
    EXPECT_TRUE(remains([&] { return !destroyed; }));
  });
  device.trim();
  ASSERT_TRUE(owner.joinable());
  owner.join();
}

// S14
TEST_F(WrappedLeases, AStaleHandleIsFoundStaleBeforeTheDriverIsAsked) {
  Device device = Device::create("cuda:0");
  OwnedStream owned;
  StreamLease lease = device.wrap(owned.get());
  Stream stream = lease.stream();
  CommandBuffer buffer = stream.command_buffer();
  lease.reset();
  owned.destroy();
  expect_rule("stale-stream", [&] { stream.commit(); });
  expect_rule("stale-stream", [&] { stream.wait(); });
  expect_rule("stale-stream", [&] { device.event().record(stream); });
  expect_rule("stale-stream", [&] { static_cast<void>(stream.record_native()); });
  expect_rule("stale-stream", [&] { static_cast<void>(stream.query()); });
  expect_rule("commit-once", [&] { buffer.commit(); });
  device.trim();
}

}  // namespace
}  // namespace millrace::test
