// A free block that fits is never overlooked: not even one whose free is pending on another stream while the
// device is full, where the first call must have it and not the second (PyTorch's issue 189504).
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

#include "support/held_stream.h"
#include "support/test_device.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kLimit = 64 * kMiB;

/// A device whose memory is all taken, so that nothing can be had but what was freed.
class FittingFreeBlock : public testing::Test {
 protected:
  /// Takes all memory on the first stream as blocks of this size.
  void fill_with(std::size_t bytes) {
    for (std::size_t taken = 0; taken < kLimit; taken += bytes)
      blocks_.push_back(device_.buffer(own_.stream(), bytes));
    ASSERT_EQ(device_.memory().committed, kLimit);
  }
  /// The other stream uses the block until it is freed, which is now.
  void free_while_in_use(Buffer& block) {
    device_.record_stream(block.data(), side_.stream());
    block.reset();
  }
  /// Lets the other stream end while the test waits for memory.
  std::thread open_soon(StreamHold& hold) {
    return std::thread([&hold] {
      std::this_thread::sleep_for(milliseconds(100));
      hold.open();
    });
  }
  void expect_nothing_new() {
    EXPECT_EQ(device_.memory().committed, kLimit);
    EXPECT_LE(device_.memory().peak_committed, kLimit);
  }

  const Watchdog watchdog_{"finding a free block that fits"};
  Device device_ = create_test_device({.memory_limit = kLimit, .out_of_memory_wait = seconds(30)});
  StreamLease own_ = device_.lease(), side_ = device_.lease(), third_ = device_.lease();
  std::vector<Buffer> blocks_;
};

TEST_F(FittingFreeBlock, PendingOnAnotherStreamServesTheFirstCall) {
  fill_with(16 * kMiB);
  StreamHold hold(side_.stream());
  free_while_in_use(blocks_[1]);
  EXPECT_GE(device_.memory().pending, 16 * kMiB);
  // The stream that had it: its work is ordered behind the other stream's, and the host waits for nothing.
  Buffer found;
  EXPECT_NO_THROW(found = device_.buffer(own_.stream(), 16 * kMiB));
  expect_nothing_new();
  hold.open();
}

TEST_F(FittingFreeBlock, PendingServesTheFirstCallOfAStreamThatNeverHadIt) {
  fill_with(16 * kMiB);
  StreamHold hold(side_.stream());
  free_while_in_use(blocks_[2]);
  std::thread later = open_soon(hold);
  Buffer found;
  EXPECT_NO_THROW(found = device_.buffer(third_.stream(), 16 * kMiB));
  expect_nothing_new();
  later.join();
}

TEST_F(FittingFreeBlock, APartOfAPendingBlockIsEnough) {
  fill_with(32 * kMiB);
  StreamHold hold(side_.stream());
  free_while_in_use(blocks_[0]);
  std::thread later = open_soon(hold);
  std::vector<Buffer> found;
  for (int i = 0; i < 4; ++i) EXPECT_NO_THROW(found.push_back(device_.buffer(third_.stream(), 8 * kMiB)));
  expect_nothing_new();
  later.join();
}

// None of them is large enough, and all of them together are.
TEST_F(FittingFreeBlock, PendingNeighboursAreOneOnceTheirUsesHaveEnded) {
  if (!heaps_grow_in_place())
    GTEST_SKIP() << "blocks of heaps that are committed whole need not be neighbours";
  fill_with(8 * kMiB);
  StreamHold hold(side_.stream());
  for (const std::size_t i : {3, 5, 2, 4}) free_while_in_use(blocks_[i]);
  std::thread later = open_soon(hold);
  Buffer found;
  EXPECT_NO_THROW(found = device_.buffer(own_.stream(), 32 * kMiB));
  expect_nothing_new();
  later.join();
}

// Between what is free and what is pending.
TEST_F(FittingFreeBlock, PendingAndFreeNeighboursAreOne) {
  if (!heaps_grow_in_place())
    GTEST_SKIP() << "blocks of heaps that are committed whole need not be neighbours";
  fill_with(8 * kMiB);
  StreamHold hold(side_.stream());
  blocks_[2].reset();
  free_while_in_use(blocks_[3]);
  blocks_[4].reset();
  std::thread later = open_soon(hold);
  Buffer found;
  EXPECT_NO_THROW(found = device_.buffer(own_.stream(), 24 * kMiB));
  expect_nothing_new();
  later.join();
}

}  // namespace
}  // namespace millrace::test
