// Private pools whose segments somebody else provides.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/test_device.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// Counts, and says when it is destroyed. Its memory is never touched.
class Source final : public SegmentSource {
 public:
  struct Figures {
    std::atomic<int> segments{0};
    std::atomic<std::size_t> bytes{0};
    std::atomic<bool> destroyed{false};
  };

  /// shift: how far behind a multiple of what any device commits its segments begin.
  explicit Source(Figures& figures, std::size_t shift = 0) : figures_(figures), shift_(shift) {}
  ~Source() override { figures_.destroyed = true; }

  void* allocate(std::size_t bytes) override {
    constexpr std::size_t kAlignment = 2 * kMiB;
    auto* const base = static_cast<std::byte*>(
        std::aligned_alloc(kAlignment, (bytes + shift_ + kAlignment - 1) / kAlignment * kAlignment));
    if (base == nullptr) return nullptr;
    ++figures_.segments;
    figures_.bytes += bytes;
    return base + shift_;
  }
  void free(void* address, std::size_t bytes) noexcept override {
    std::free(static_cast<std::byte*>(address) - shift_);
    --figures_.segments;
    figures_.bytes -= bytes;
  }

 private:
  Figures& figures_;
  const std::size_t shift_;
};

class PoolSources : public testing::Test {
 protected:
  MemoryPool pool_of(std::shared_ptr<SegmentSource> source, bool lends = false) {
    return MemoryPool::create(device_, {.use_on_oom = lends, .source = std::move(source)});
  }
  void* allocate(const MemoryPool& pool, std::size_t bytes) { return pool.allocate(device_.stream(), bytes); }

  Source::Figures figures_;  // outlives what the device destroys
  Device device_ = create_test_device({.out_of_memory_wait = std::chrono::milliseconds(0)});
};

TEST_F(PoolSources, SegmentsAreSharedBySmallBlocks) {
  const MemoryPool pool = pool_of(std::make_shared<Source>(figures_));
  EXPECT_EQ(figures_.segments, 0);
  std::vector<void*> blocks{allocate(pool, kMiB), allocate(pool, kMiB)};
  EXPECT_EQ(figures_.segments, 1);
  EXPECT_EQ(pool.segments().size(), 1U);
  blocks.push_back(allocate(pool, kMiB));
  EXPECT_EQ(figures_.segments, 2);
  EXPECT_EQ(pool.segments().size(), 2U);
  EXPECT_EQ(device_.memory().committed, figures_.bytes);
  EXPECT_EQ(device_.memory().live, 3 * kMiB);
  for (void* const block : blocks) device_.deallocate(block);
  device_.check_accounting();
}

TEST_F(PoolSources, IsKeptUntilItsLastSegmentWentBack) {
  const MemoryPool pool = pool_of(std::make_shared<Source>(figures_));
  void* const block = allocate(pool, 100);
  pool.drop_user();
  EXPECT_EQ(figures_.segments, 1);
  EXPECT_FALSE(figures_.destroyed);
  device_.deallocate(block);
  EXPECT_FALSE(figures_.destroyed);
  device_.trim();
  EXPECT_EQ(figures_.segments, 0);
  EXPECT_TRUE(figures_.destroyed);
  EXPECT_EQ(device_.memory().committed, 0U);
}

TEST_F(PoolSources, TheNextPoolHasItsOwn) {
  for (int turn = 0; turn < 3; ++turn) {
    Source::Figures mine;
    const MemoryPool pool = pool_of(std::make_shared<Source>(mine));
    const MemoryPool plain = MemoryPool::create(device_);
    device_.deallocate(allocate(pool, 3 * kMiB));
    device_.deallocate(allocate(plain, 3 * kMiB));
    EXPECT_EQ(mine.segments, 1);
    plain.drop_user();
    pool.drop_user();
    EXPECT_EQ(mine.segments, 0);
    EXPECT_TRUE(mine.destroyed);
  }
}

TEST_F(PoolSources, CountsTowardsTheLimit) {
  device_.set_memory_limit(80 * kMiB);
  const MemoryPool kept = pool_of(std::make_shared<Source>(figures_));
  const MemoryPool lent = pool_of(std::make_shared<Source>(figures_), true);
  void* const of_kept = allocate(kept, 40 * kMiB);
  void* const of_lent = allocate(lent, 40 * kMiB);
  const auto ask = [&] { return device_.allocate(device_.stream(), 30 * kMiB); };
  EXPECT_THROW(static_cast<void>(ask()), OutOfMemoryError);
  EXPECT_THROW(static_cast<void>(allocate(kept, kMiB)), OutOfMemoryError);
  device_.deallocate(of_kept);
  device_.deallocate(of_lent);
  void* const borrowed = ask();
  EXPECT_EQ(borrowed, of_lent);
  EXPECT_THROW(static_cast<void>(ask()), OutOfMemoryError);
  device_.deallocate(borrowed);
  EXPECT_EQ(allocate(lent, 20 * kMiB), of_lent);
}

TEST_F(PoolSources, SegmentsAtAnyAddressServe) {
  constexpr std::size_t kShift = 512;
  const MemoryPool pool = pool_of(std::make_shared<Source>(figures_, kShift));
  std::vector<void*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(allocate(pool, 3 * kMiB));
  EXPECT_GT(figures_.segments, 0);
  device_.check_accounting();
  for (void* const block : blocks) device_.deallocate(block);
  pool.drop_user();
  EXPECT_EQ(figures_.segments, 0);
  EXPECT_EQ(figures_.bytes, 0U);
}

TEST_F(PoolSources, SaysWhyItHasNone) {
  class Empty final : public SegmentSource {
   public:
    explicit Empty(bool throws) : throws_(throws) {}
    void* allocate(std::size_t) override {
      if (throws_) throw std::runtime_error("the ring is full");
      return nullptr;
    }
    void free(void*, std::size_t) noexcept override {}

   private:
    const bool throws_;
  };
  for (const bool throws : {false, true}) {
    const MemoryPool pool = pool_of(std::make_shared<Empty>(throws));
    expect_error(ErrorCode::OutOfMemory, throws ? "the ring is full" : "it returned null",
                 [&] { static_cast<void>(allocate(pool, kMiB)); });
    pool.drop_user();
  }
  EXPECT_EQ(device_.memory().committed, 0U);
}

TEST_F(PoolSources, SegmentsGoBackWithTheDevice) {
  {
    Device other = create_test_device();
    const MemoryPool pool = MemoryPool::create(other, {.source = std::make_shared<Source>(figures_)});
    static_cast<void>(pool.allocate(other.stream(), kMiB));
    other.close();
  }
  EXPECT_EQ(figures_.segments, 0);
  EXPECT_TRUE(figures_.destroyed);
}

TEST_F(PoolSources, ThreadsShareOne) {
  const MemoryPool pool = pool_of(std::make_shared<Source>(figures_));
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const StreamLease lease = device_.lease();
      for (int turn = 0; turn < 200; ++turn) {
        void* const block = pool.allocate(lease.stream(), std::size_t{512} << (turn + i) % 14);
        device_.deallocate(block);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  device_.check_accounting();
  pool.drop_user();
  device_.trim();
  EXPECT_EQ(figures_.segments, 0);
  EXPECT_TRUE(figures_.destroyed);
}

}  // namespace
}  // namespace millrace::test
