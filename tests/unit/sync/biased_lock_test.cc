#include "sync/biased_lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "sync/asymmetric_fence.h"

namespace millrace::sync {
namespace {

/// Runs its body with fences as this system has them, and as one without membarrier would.
class FencesOfBothKinds {
 public:
  template <typename Body>
  static void run(Body&& body) {
    prepare_asymmetric_fences();
    const bool asymmetric = detail::fences_are_asymmetric.load(std::memory_order_relaxed);
    for (const bool used : {asymmetric, false}) {
      SCOPED_TRACE(used ? "asymmetric fences" : "exchanges");
      detail::fences_are_asymmetric.store(used, std::memory_order_relaxed);
      body();
    }
    detail::fences_are_asymmetric.store(asymmetric, std::memory_order_relaxed);
  }
};

// F1: store buffering, with all of the cost on one side.
TEST(AsymmetricFence, OneOfTwoSeesTheOther) {
  FencesOfBothKinds::run([] {
    constexpr int kRounds = 20000;
    atomic<int> announced{0}, written{0};
    std::atomic<int> round{0}, arrived{0};
    int seen_by_announcer = 0;
    std::thread announcer([&] {
      for (int i = 1; i <= kRounds; ++i) {
        while (round.load() < i) std::this_thread::yield();
        announce(announced, i);
        seen_by_announcer = written.load(std::memory_order_seq_cst);
        arrived.store(i);
      }
    });
    int missed = 0;
    for (int i = 1; i <= kRounds; ++i) {
      round.store(i);
      static_cast<void>(written.exchange(i, std::memory_order_seq_cst));
      heavy_fence();
      const int seen = announced.load(std::memory_order_seq_cst);
      while (arrived.load() < i) std::this_thread::yield();
      if (seen != i && seen_by_announcer != i) ++missed;
    }
    announcer.join();
    EXPECT_EQ(missed, 0);
  });
}

TEST(BiasedLock, OnePartyAtATime) {
  BiasedLock lock;
  EXPECT_TRUE(lock.lock());
  EXPECT_FALSE(lock.try_claim());
  lock.unlock();
  EXPECT_TRUE(lock.try_claim());
  EXPECT_FALSE(lock.try_claim());
  lock.unclaim();
  EXPECT_TRUE(lock.lock());
  lock.unlock();
}

TEST(BiasedLock, RetiredIsFinal) {
  BiasedLock lock;
  EXPECT_FALSE(lock.retired());
  EXPECT_TRUE(lock.retire());
  EXPECT_TRUE(lock.retired());
  EXPECT_FALSE(lock.retire());
  EXPECT_FALSE(lock.try_claim());
  EXPECT_FALSE(lock.lock());
  EXPECT_FALSE(lock.lock());
}

// X1 to X3: the plain counter is only safe if holders exclude each other and order what they did, and the
// last of them is whoever retires the lock.
TEST(BiasedLock, OwnerClaimantsAndTheOneWhoRetires) {
  FencesOfBothKinds::run([] {
    for (int round = 0; round < 20; ++round) {
      BiasedLock lock;
      int used = 0;
      std::atomic<int> claimed{0}, retired{0};
      int owned = 0;
      bool retired_while_used = false;
      std::vector<std::thread> others;
      for (int i = 0; i < 2; ++i) {
        others.emplace_back([&] {
          while (!lock.retired()) {
            std::this_thread::sleep_for(std::chrono::microseconds(20));  // the owner is to get some, too
            if (!lock.try_claim()) continue;
            ++used;
            claimed.fetch_add(1);
            lock.unclaim();
          }
        });
      }
      for (int i = 0; i < 2; ++i) {
        others.emplace_back([&] {
          while (claimed.load() < 20) std::this_thread::yield();
          if (!lock.retire()) return;
          const int before = used;
          std::this_thread::yield();
          retired_while_used = used != before;
          retired.fetch_add(1);
        });
      }
      while (lock.lock()) {
        ++used;
        ++owned;
        lock.unlock();
      }
      for (std::thread& other : others) other.join();
      EXPECT_EQ(used, owned + claimed.load());
      EXPECT_EQ(retired.load(), 1);
      EXPECT_FALSE(retired_while_used);
    }
  });
}

}  // namespace
}  // namespace millrace::sync
