// Observers: every range of memory that comes and goes, and every time that there is none.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <vector>

#include "support/expect_error.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// Keeps which ranges there are, and holds each change against that.
///
/// Thread safety: told by one thread at a time, which it checks; the rest at quiet points.
class Ranges final : public MemoryObserver {
 public:
  void on_segment(const SegmentChange& change) noexcept override {
    EXPECT_FALSE(telling_.exchange(true)) << "two threads tell at once";
    const auto at = reinterpret_cast<std::uintptr_t>(change.address);
    EXPECT_GT(change.bytes, 0U);
    if (change.kind == SegmentChange::Kind::gained) {
      gain(at, change.bytes);
    } else {
      lose(at, change.bytes);
    }
    ++changes;
    pools[change.pool] += change.kind == SegmentChange::Kind::gained
                              ? static_cast<std::int64_t>(change.bytes)
                              : -static_cast<std::int64_t>(change.bytes);
    if (then) then();
    telling_ = false;
  }
  void on_out_of_memory(const OutOfMemoryReport& report) noexcept override {
    ++out_of_memory;
    requested = report.requested;
  }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& [at, size] : ranges_) sum += size;
    return sum;
  }

  int changes = 0;
  std::map<std::uint64_t, std::int64_t> pools;  ///< bytes
  std::atomic<int> out_of_memory = 0;
  std::size_t requested = 0;
  std::function<void()> then;

 private:
  void gain(std::uintptr_t at, std::size_t bytes) {
    const auto next = ranges_.lower_bound(at);
    EXPECT_TRUE(next == ranges_.end() || next->first >= at + bytes) << "gained, and was there";
    EXPECT_TRUE(next == ranges_.begin() || std::prev(next)->first + std::prev(next)->second <= at);
    ranges_[at] = bytes;
  }
  /// A range that was gained in parts may be lost as one, and the other way round.
  void lose(std::uintptr_t at, std::size_t bytes) {
    while (bytes != 0) {
      auto found = ranges_.upper_bound(at);
      ASSERT_NE(found, ranges_.begin()) << "lost, and was not there";
      --found;
      const auto [base, size] = *found;
      ASSERT_GT(base + size, at) << "lost, and was not there";
      const std::size_t part = std::min(bytes, base + size - at);
      ranges_.erase(found);
      if (base != at) ranges_[base] = at - base;
      if (base + size != at + part) ranges_[at + part] = base + size - at - part;
      at += part;
      bytes -= part;
    }
  }

  std::atomic<bool> telling_ = false;
  std::map<std::uintptr_t, std::size_t> ranges_;
};

TEST(MemoryObservers, AreToldOfEachRange) {
  Device device = create_test_device();
  const auto ranges = std::make_shared<Ranges>();
  device.add_memory_observer(ranges);
  const Buffer small = device.buffer(100);
  EXPECT_EQ(ranges->bytes(), device.memory().committed);
  device.buffer(5 * kMiB).reset();
  const MemoryPool pool = MemoryPool::create(device);
  void* const pooled = pool.allocate(device.stream(), 3 * kMiB);
  EXPECT_EQ(ranges->bytes(), device.memory().committed);
  EXPECT_GE(ranges->pools[pool.number()], static_cast<std::int64_t>(3 * kMiB));
  device.trim();
  EXPECT_EQ(ranges->bytes(), device.memory().committed);
  device.deallocate(pooled);
  pool.drop_user();
  EXPECT_EQ(ranges->pools[pool.number()], 0);
  EXPECT_EQ(ranges->bytes(), device.memory().committed);
  const MemoryStatistics figures = device.memory_statistics();
  EXPECT_EQ(static_cast<std::uint64_t>(ranges->changes), figures.device_allocations + figures.device_frees);
  expect_code(ErrorCode::InvalidArgument, [&] { device.add_memory_observer(nullptr); });
}

TEST(MemoryObservers, MayUseTheDevice) {
  Device device = create_test_device();
  const auto ranges = std::make_shared<Ranges>();
  device.add_memory_observer(ranges);
  Buffer inner;
  ranges->then = [&] {
    if (inner.size() == 0) inner = device.buffer(9 * kMiB);
  };
  const Buffer outer = device.buffer(5 * kMiB);
  EXPECT_EQ(inner.size(), 9 * kMiB);
  EXPECT_EQ(ranges->bytes(), device.memory().committed);
}

TEST(MemoryObservers, AreToldThatThereIsNone) {
  Device device = create_test_device({.memory_limit = 16 * kMiB});
  const auto ranges = std::make_shared<Ranges>();
  device.add_memory_observer(ranges);
  EXPECT_THROW(static_cast<void>(device.allocate(64 * kMiB)), OutOfMemoryError);
  EXPECT_EQ(ranges->out_of_memory, 1);
  EXPECT_EQ(ranges->requested, 64 * kMiB);
  EXPECT_EQ(device.memory_statistics().out_of_memory, 1U);
  EXPECT_EQ(device.memory_statistics().retries, 1U);
}

TEST(MemoryObservers, BesideThreads) {
  const std::uint64_t seed = seed_of_run();
  Device device = create_test_device({.memory_limit = 512 * kMiB});
  const auto ranges = std::make_shared<Ranges>();
  device.add_memory_observer(ranges);
  on_threads(4, [&](int number) {
    Random random(seed, static_cast<std::uint64_t>(number));
    std::vector<Buffer> held;
    for (std::size_t round = 0; round < scaled(2000, 10); ++round) {
      held.push_back(device.buffer(random.log_uniform(1, 8 * kMiB)));
      if (held.size() > 6) held.erase(held.begin());
      if (round % 20 == 0) device.trim();
    }
  });
  device.trim();
  EXPECT_EQ(ranges->bytes(), device.memory().committed);
}

}  // namespace
}  // namespace millrace::test
