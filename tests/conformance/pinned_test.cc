// Pinned memory: what host code and the device's work both reach, and when it is handed out again.
#include <gtest/gtest.h>
#include <millrace/c.h>
#include <millrace/millrace.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/pattern.h"
#include "support/scale.h"
#include "support/staging.h"
#include "support/test_device.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;
/// One that goes through thread caches, and one that does not.
constexpr std::size_t kSizes[] = {64 * kKiB, 3 * kMiB};

class PinnedTest : public testing::Test {
 protected:
  MemoryStats pinned() const { return device_.memory(MemoryKind::pinned); }

  Watchdog watchdog_{"a test of pinned memory", seconds(100)};
  Device device_ = create_test_device(
      {.memory_limit = 256 * kMiB, .pinned_limit = 64 * kMiB, .out_of_memory_wait = milliseconds(20)});
};

TEST_F(PinnedTest, TheHostWritesAndReadsItAndTheDeviceCopies) {
  Stream stream = device_.stream();
  for (const std::size_t bytes : kSizes) {
    const Buffer there = device_.pinned_buffer(bytes), back = device_.pinned_buffer(stream, bytes);
    const Buffer middle = device_.buffer(bytes);
    write_pattern(there.data(), bytes, bytes);
    stream.copy(middle.data(), there.data(), bytes);
    stream.copy(back.data(), middle.data(), bytes);
    stream.wait();
    EXPECT_TRUE(has_pattern(back.data(), bytes, bytes));
    stream.fill(back.data(), 7, bytes);
    stream.wait();
    EXPECT_EQ(back.as<std::uint8_t>()[bytes - 1], 7);
  }
}

TEST_F(PinnedTest, EachKindHasItsOwnFiguresAndAnAddressTellsItsKind) {
  void* const on_device = device_.allocate(100 * kKiB);
  const MemoryStats device_alone = device_.memory();
  void* const small = device_.allocate_pinned(1000);
  void* const large = device_.allocate_pinned(5 * kMiB);
  EXPECT_EQ(pinned().live, 1024 + 5 * kMiB);
  EXPECT_EQ(pinned().allocations, 2U);
  EXPECT_EQ(pinned().limit, 64 * kMiB);
  EXPECT_GE(pinned().committed, pinned().live);
  EXPECT_EQ(device_.memory().live, device_alone.live);
  EXPECT_EQ(device_.memory().committed, device_alone.committed);
  device_.check_accounting();
  for (void* const block : {small, on_device, large}) {
    device_.deallocate(block);
    expect_rule("double-free", [&] { device_.deallocate(block); });
  }
  expect_code(ErrorCode::InvalidArgument, [&] { device_.deallocate(static_cast<std::byte*>(large) + 512); });
  EXPECT_EQ(pinned().live, 0U);
  EXPECT_EQ(pinned().frees, 2U);
  EXPECT_EQ(device_.memory().live, 0U);
  device_.check_accounting();
  const Buffer aligned = device_.pinned_buffer(kMiB, 8 * kMiB);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned.data()) % (8 * kMiB), 0U);
}

TEST_F(PinnedTest, TrimGivesItBackToo) {
  device_.buffer(kMiB).reset();
  device_.pinned_buffer(kMiB).reset();
  const std::size_t committed = device_.memory().committed + pinned().committed;
  EXPECT_EQ(device_.trim(), committed);
  EXPECT_EQ(pinned().committed, 0U);
  EXPECT_EQ(device_.memory().committed, 0U);
}

// A4: the copy that was queued sees what was written before the free, whatever the host writes to what it is
// given after it.
TEST_F(PinnedTest, IsNotHandedOutAgainBeforeTheStreamsWorkIsDone) {
  for (const bool by_another_thread : {false, true}) {
    for (const std::size_t bytes : kSizes) {
      SCOPED_TRACE(std::to_string(bytes) + (by_another_thread ? " freed by another thread" : ""));
      Stream stream = device_.stream();
      const Buffer seen = device_.buffer(bytes);
      void* const block = device_.allocate_pinned(bytes);
      write_pattern(block, bytes, 1);
      StreamHold hold(stream);
      stream.copy(seen.data(), block, bytes);
      stream.commit();
      if (by_another_thread) {
        std::thread([&] { device_.deallocate(block); }).join();
      } else {
        device_.deallocate(block);
      }
      EXPECT_EQ(pinned().live, 0U);
      EXPECT_GE(pinned().pending, bytes);
      device_.check_accounting();
      std::vector<Buffer> next;
      for (int i = 0; i < 4; ++i) {
        next.push_back(device_.pinned_buffer(bytes));
        EXPECT_NE(next.back().data(), block);
        write_pattern(next.back().data(), bytes, 2);
      }
      device_.trim();
      hold.open();
      stream.wait();
      EXPECT_TRUE(has_pattern(read_back<std::byte>(stream, seen.data(), bytes).data(), bytes, 1));
      next.clear();
    }
  }
  EXPECT_EQ(pinned().live, 0U);
  device_.check_accounting();
}

TEST_F(PinnedTest, WithAnIdleStreamTheLastFreedIsTheNext) {
  Stream stream = device_.stream();
  for (const std::size_t bytes : kSizes) {
    void* const block = device_.allocate_pinned(bytes);
    stream.fill(block, 1, bytes);
    stream.wait();
    device_.deallocate(block);
    EXPECT_EQ(pinned().pending, 0U);
    void* const again = device_.allocate_pinned(bytes);
    EXPECT_EQ(again, block);
    device_.deallocate(again);
  }
}

TEST_F(PinnedTest, ServesAgainOnceTheWorkIsDone) {
  Stream stream = device_.stream();
  const Buffer target = device_.buffer(3 * kMiB);
  for (int round = 0; round < 50; ++round) {
    std::vector<Buffer> staged;
    for (const std::size_t bytes : kSizes) {
      for (int i = 0; i < 4; ++i) {
        staged.push_back(device_.pinned_buffer(bytes));
        stream.copy(target.data(), staged.back().data(), bytes);
      }
    }
    stream.commit();
    staged.clear();
    stream.wait();
  }
  EXPECT_LE(pinned().peak_committed, 40 * kMiB);
}

// Nobody waits while something else is free; when nothing is, the procedure waits for the work.
TEST_F(PinnedTest, IsWaitedForOnlyAtTheLimit) {
  Stream stream = device_.stream();
  void* const block = device_.allocate_pinned(48 * kMiB);
  StreamHold hold(stream);
  stream.fill(block, 1, kMiB);
  stream.commit();
  device_.deallocate(block);
  const Buffer beside = device_.pinned_buffer(8 * kMiB);
  const std::optional<Error> error = error_of([&] { device_.allocate_pinned(48 * kMiB); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::OutOfMemory);
  EXPECT_EQ(error->call(), "Device::allocate_pinned");
  EXPECT_NE(error->message().find("pinned_limit"), std::string::npos) << error->what();
  hold.open();
  stream.wait();
  EXPECT_NO_THROW(device_.pinned_buffer(48 * kMiB));
}

TEST_F(PinnedTest, UsesOnOtherStreamsEndBeforeItIsReused) {
  StreamLease lease_a = device_.lease(), lease_b = device_.lease();
  Stream b = lease_b.stream();
  for (const bool whole_stream : {false, true}) {
    for (const std::size_t bytes : kSizes) {
      const Buffer seen = device_.buffer(b, bytes);
      void* const block = device_.allocate_pinned(lease_a.stream(), bytes);
      write_pattern(block, bytes, 1);
      StreamHold hold(b);
      if (whole_stream) device_.record_stream(block, b);
      b.copy(seen.data(), block, bytes);
      b.commit();
      if (!whole_stream) {
        expect_rule("freed-while-in-use", [&] { device_.deallocate(block); });
        device_.record_use(block, b);
      }
      device_.deallocate(block);
      std::vector<Buffer> next;
      for (int i = 0; i < 4; ++i) {
        next.push_back(device_.pinned_buffer(lease_a.stream(), bytes));
        write_pattern(next.back().data(), bytes, 2);
      }
      hold.open();
      device_.synchronize();
      EXPECT_TRUE(has_pattern(read_back<std::byte>(b, seen.data(), bytes).data(), bytes, 1));
    }
  }
}

TEST_F(PinnedTest, ItsLimitIsItsOwnAndHard) {
  std::vector<Buffer> held;
  const auto fill_up = [&] {
    for (;;) held.push_back(device_.pinned_buffer(3 * kMiB));
  };
  expect_code(ErrorCode::OutOfMemory, fill_up);
  EXPECT_GE(held.size(), 15U);
  EXPECT_LE(pinned().peak_committed, 64 * kMiB);
  EXPECT_NO_THROW(device_.buffer(100 * kMiB));
  expect_code(ErrorCode::OutOfMemory, [&] { device_.set_memory_limit(kMiB, MemoryKind::pinned); });
  held.clear();
  device_.set_memory_limit(4 * kMiB, MemoryKind::pinned);
  EXPECT_LE(pinned().committed, 4 * kMiB);
  expect_code(ErrorCode::OutOfMemory, [&] { device_.allocate_pinned(5 * kMiB); });
  EXPECT_NO_THROW(device_.pinned_buffer(4 * kMiB));
  EXPECT_EQ(device_.memory().limit, 256 * kMiB);
}

TEST_F(PinnedTest, IdleMemoryOfOneStreamServesAnother) {
  for (int i = 0; i < 8; ++i) {
    StreamLease lease = device_.lease();
    Buffer large = device_.pinned_buffer(lease.stream(), 50 * kMiB);
    lease.stream().fill(large.data(), 1, kMiB);
    lease.stream().wait();
  }
  EXPECT_LE(pinned().peak_committed, 64 * kMiB);
  device_.check_accounting();
}

TEST_F(PinnedTest, TheCInterfaceHasItToo) {
  millrace_device* device = nullptr;
  ASSERT_EQ(millrace_device_open(test_device_name().c_str(), 0, &device), MILLRACE_OK)
      << millrace_last_error();
  millrace_lease* lease = nullptr;
  millrace_stream stream{};
  ASSERT_EQ(millrace_device_lease(device, &lease, &stream), MILLRACE_OK);
  millrace_memory_stats before{}, during{}, of_device{};
  ASSERT_EQ(millrace_device_pinned_memory(device, &before), MILLRACE_OK);
  void *there = nullptr, *back = nullptr, *middle = nullptr;
  ASSERT_EQ(millrace_allocate_pinned_on(device, stream, 4096, 0, &there), MILLRACE_OK);
  ASSERT_EQ(millrace_allocate_pinned(device, 4096, 64 * kKiB, &back), MILLRACE_OK);
  ASSERT_EQ(millrace_allocate_on(device, stream, 4096, 0, &middle), MILLRACE_OK);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(back) % (64 * kKiB), 0U);
  ASSERT_EQ(millrace_device_pinned_memory(device, &during), MILLRACE_OK);
  ASSERT_EQ(millrace_device_memory(device, &of_device), MILLRACE_OK);
  EXPECT_EQ(during.allocations, before.allocations + 2);
  EXPECT_GE(during.live, before.live + 2 * 4096);
  EXPECT_NE(during.limit, of_device.limit);
  write_pattern(there, 4096, 1);
  ASSERT_EQ(millrace_record_use(device, back, stream), MILLRACE_OK);
  ASSERT_EQ(millrace_stream_copy(stream, middle, there, 4096), MILLRACE_OK);
  ASSERT_EQ(millrace_stream_copy(stream, back, middle, 4096), MILLRACE_OK);
  ASSERT_EQ(millrace_stream_wait(stream), MILLRACE_OK);
  EXPECT_TRUE(has_pattern(back, 4096, 1));
  for (void* const block : {there, back, middle}) EXPECT_EQ(millrace_deallocate(device, block), MILLRACE_OK);
  EXPECT_EQ(millrace_deallocate(device, there), MILLRACE_INVALID_STATE);
  EXPECT_STREQ(millrace_last_rule(), "double-free");
  EXPECT_EQ(millrace_allocate_pinned(device, 4096, 3, &there), MILLRACE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(millrace_last_error()).find("power of two"), std::string::npos);
  EXPECT_EQ(millrace_allocate_pinned(device, 4096, 0, nullptr), MILLRACE_INVALID_ARGUMENT);
  EXPECT_EQ(millrace_device_pinned_memory(device, nullptr), MILLRACE_INVALID_ARGUMENT);
  millrace_lease_end(lease);
  ASSERT_EQ(millrace_device_close(device), MILLRACE_OK);
  EXPECT_EQ(millrace_allocate_pinned(device, 4096, 0, &there), MILLRACE_CLOSED);
  millrace_device_release(device);
}

TEST_F(PinnedTest, OutlivesNothingOfAClosedDevice) {
  Buffer buffer = device_.pinned_buffer(kMiB);
  device_.close();
  expect_code(ErrorCode::Closed, [&] { device_.allocate_pinned(1); });
  EXPECT_NO_THROW(buffer.reset());
}

// A4 under threads.
TEST(PinnedStress, WhatWasStagedIsWhatArrives) {
  Device device = create_test_device(
      {.memory_limit = 512 * kMiB, .pinned_limit = 48 * kMiB, .out_of_memory_wait = milliseconds(200)});
  stage_and_check(device, {.threads = 6, .most = 128 * kKiB, .rounds = scaled(400, 8)});
}

}  // namespace
}  // namespace millrace::test
