#include "sync/atomic.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "sync/clock.h"
#include "sync/thread.h"

namespace millrace::sync {
namespace {

TEST(Atomic, SingleWriterCountersLoseNothing) {
  atomic<std::uint64_t> counter{0};
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (last < 100000) {
      const std::uint64_t now = counter.load(std::memory_order_acquire);
      EXPECT_GE(now, last);
      last = now;
    }
  });
  for (int i = 0; i < 100000; ++i) add_single_writer(counter, std::uint64_t{1});
  reader.join();
}

TEST(Atomic, RaiseToKeepsTheMaximum) {
  atomic<int> maximum{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10000; ++i) raise_to(maximum, (i * 7919 + t) % 10007);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(maximum.load(std::memory_order_relaxed), 10006);
}

TEST(Clock, AnEndlessLimitIsNoDeadline) {
  EXPECT_FALSE(deadline_after(std::chrono::nanoseconds::max()).has_value());
  const Deadline soon = deadline_after(std::chrono::milliseconds(1));
  ASSERT_TRUE(soon.has_value());
  EXPECT_GT(*soon, now() - std::chrono::seconds(10));
}

TEST(Thread, IdsAreNeverShared) {
  const std::uint64_t mine = this_thread_id();
  EXPECT_EQ(this_thread_id(), mine);
  std::uint64_t other = 0;
  std::thread([&] { other = this_thread_id(); }).join();
  EXPECT_NE(other, mine);
}

}  // namespace
}  // namespace millrace::sync
