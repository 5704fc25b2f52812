// Streams that somebody else made, on every backend that has such: another device object on the same device
// plays their owner, who puts work on them and tells nobody.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/pattern.h"
#include "support/test_device.h"
#include "support/threads.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// A stream of the owner's. What is put on it is with the driver on return.
class Owned {
 public:
  explicit Owned(Device& owner) : lease_(owner.lease()) {
    const NativeRecorder recorder = lease_.stream().record_native();
    native_ = recorder.stream();
  }
  void* native() const { return native_; }
  void fill(void* address, std::uint8_t value, std::size_t bytes) {
    lease_.stream().fill(address, value, bytes);
    lease_.stream().commit();
  }
  void copy(void* to, const void* from, std::size_t bytes) {
    lease_.stream().copy(to, from, bytes);
    lease_.stream().commit();
  }
  /// Work that takes a while and ends with the value everywhere.
  void fill_slowly(void* address, std::uint8_t value, std::size_t bytes) {
    for (int i = 0; i < 40; ++i) lease_.stream().fill(address, static_cast<std::uint8_t>(value + 1), bytes);
    fill(address, value, bytes);
  }

 private:
  StreamLease lease_;
  void* native_ = nullptr;
};

class WrappedTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!device_.info().driver_streams)
      GTEST_SKIP() << test_device_name() << " has no streams to wrap: DeviceInfo::driver_streams is false";
  }
  void TearDown() override { owner_.synchronize(); }

  Watchdog watchdog_{"a test of wrapped streams", std::chrono::seconds(100)};
  Device owner_ = create_test_device();
  Device device_ = create_test_device({.wrapped_streams = 2});
};

TEST(WrappedSupport, ADeviceWithoutDriverStreamsSaysSo) {
  Device device = create_test_device();
  if (device.info().driver_streams) GTEST_SKIP() << "the other tests are about those that have them";
  int not_a_stream = 0;
  expect_code(ErrorCode::Unsupported, [&] { static_cast<void>(device.wrap(&not_a_stream)); });
}

TEST_F(WrappedTest, BothPutWorkOnItInTheOrderOfTheirCalls) {
  Owned owned(owner_);
  StreamLease lease = device_.wrap(owned.native());
  Stream stream = lease.stream();
  const Buffer buffer = device_.buffer(stream, 8 * kMiB);
  for (std::uint8_t round = 1; round < 50; ++round) {
    owned.fill(buffer.data(), round, 8 * kMiB);
    const std::vector<std::uint8_t> seen =
        read_back<std::uint8_t>(stream, buffer.as<std::uint8_t>() + 8 * kMiB - 2, 2);
    ASSERT_EQ(seen, (std::vector<std::uint8_t>{round, round}));
    stream.fill(buffer.data(), 0, 8 * kMiB);
    stream.commit();
  }
  EXPECT_EQ(device_.streams().wrapped, 1);
}

TEST_F(WrappedTest, EventsAndWaitsCoverWhatItsOwnerPutThere) {
  Owned owned(owner_);
  StreamLease lease = device_.wrap(owned.native()), other = device_.lease();
  const Buffer buffer = device_.buffer(lease.stream(), 8 * kMiB);
  for (int round = 0; round < 5; ++round) {
    owned.fill_slowly(buffer.data(), 3, 8 * kMiB);
    Event event = device_.event();
    event.record(lease.stream());
    other.stream().wait_event(event);
    EXPECT_EQ(read_one(other.stream(), buffer.as<std::uint8_t>() + 8 * kMiB - 1), 3);
    owned.fill_slowly(buffer.data(), 5, 8 * kMiB);
    lease.stream().wait();
    EXPECT_EQ(read_one(other.stream(), buffer.as<std::uint8_t>() + 8 * kMiB - 1), 5);
  }
}

// S12: memory that was freed is not another stream's before the owner's work on it is done.
TEST_F(WrappedTest, MemoryWaitsForItsOwnersWork) {
  Device device =
      create_test_device({.memory_limit = 24 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(5000)});
  Owned owned(owner_);
  StreamLease lease = device.wrap(owned.native()), other = device.lease();
  for (const bool used_only : {false, true}) {
    for (int round = 0; round < 5; ++round) {
      void* const block = device.allocate(used_only ? other.stream() : lease.stream(), 16 * kMiB);
      owned.fill_slowly(block, 1, 16 * kMiB);
      if (used_only) device.record_use(block, lease.stream());
      device.deallocate(block);
      const Buffer next = device.buffer(other.stream(), 16 * kMiB);  // there is room for one
      other.stream().fill(next.data(), 9, 16 * kMiB);
      const std::vector<std::uint8_t> seen = read_back<std::uint8_t>(other.stream(), next.data(), 16 * kMiB);
      ASSERT_EQ(static_cast<std::size_t>(std::ranges::count(seen, 9)), seen.size());
    }
  }
  device.check_accounting();
}

// A4: the host would write over what the owner's copy is still to read.
TEST_F(WrappedTest, PinnedMemoryWaitsForItsOwnersWorkToo) {
  Owned owned(owner_);
  StreamLease lease = device_.wrap(owned.native());
  Stream stream = lease.stream();
  const Buffer slow = device_.buffer(stream, 16 * kMiB);
  for (const std::size_t bytes : {64 * kMiB / 1024, 3 * kMiB}) {
    const Buffer seen = device_.buffer(stream, bytes);
    // Of the stream's own nothing is left to be waited for.
    stream.fill(seen.data(), 0, bytes);
    stream.wait();
    void* const block = device_.allocate_pinned(stream, bytes);
    write_pattern(block, bytes, 1);
    owned.fill_slowly(slow.data(), 1, 16 * kMiB);
    owned.copy(seen.data(), block, bytes);
    device_.deallocate(block);
    std::vector<Buffer> next;
    for (int i = 0; i < 4; ++i) {
      next.push_back(device_.pinned_buffer(stream, bytes));
      write_pattern(next.back().data(), bytes, 2);
    }
    EXPECT_TRUE(has_pattern(read_back<std::byte>(stream, seen.data(), bytes).data(), bytes, 1)) << bytes;
  }
  device_.check_accounting();
}

// S13
TEST_F(WrappedTest, OneStreamIsOneSlotAsLongAsALeaseOfItLasts) {
  Owned first(owner_), second(owner_), third(owner_);
  StreamLease lease = device_.wrap(first.native()), again = device_.wrap(first.native());
  EXPECT_EQ(lease.stream(), again.stream());
  StreamLease another = device_.wrap(second.native());
  EXPECT_NE(another.stream(), lease.stream());
  expect_code(ErrorCode::PoolExhausted, [&] { static_cast<void>(device_.wrap(third.native())); });
  lease.reset();
  again.stream().wait();
  const Stream ended = again.stream();
  again.reset();
  expect_rule("stale-stream", [&] { Stream(ended).commit(); });
  StreamLease taken = device_.wrap(third.native());
  taken.stream().wait();
  EXPECT_EQ(device_.streams().wrapped, 2);
}

TEST_F(WrappedTest, ManyThreadsUseOneAndItsOwnerToo) {
  Owned owned(owner_);
  Device device = create_test_device();
  const Buffer mine = device.buffer(8 * 4096);
  on_threads(8, [&](int number) {
    std::uint8_t* const part = mine.as<std::uint8_t>() + number * 4096;
    for (int round = 0; round < 20; ++round) {
      StreamLease lease = device.wrap(owned.native());
      const auto value = static_cast<std::uint8_t>(8 * round + number);
      if (number == 0) {
        owned.fill(part, value, 4096);
      } else {
        const Buffer staged = device.buffer(lease.stream(), 4096);
        lease.stream().fill(staged.data(), value, 4096);
        lease.stream().copy(part, staged.data(), 4096);
      }
      lease.stream().wait();
      EXPECT_EQ(read_one(device.stream(), part), value);
    }
  });
  EXPECT_TRUE(eventually([&] { return device.streams().wrapped == 0; }));
  device.check_accounting();
}

}  // namespace
}  // namespace millrace::test
