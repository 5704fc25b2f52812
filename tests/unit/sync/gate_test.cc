#include "sync/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace millrace::sync {
namespace {

TEST(Gate, LetsInUntilItIsClosed) {
  Gate gate;
  EXPECT_TRUE(gate.enter());
  gate.close_and_wait();
  EXPECT_FALSE(gate.enter());
  gate.close_and_wait();  // a second close finds nobody inside
}

TEST(Gate, AnExceptionInsideLeaves) {
  Gate gate;
  try {
    const Gate::Pass pass = gate.enter();
    throw std::runtime_error("inside");
  } catch (const std::runtime_error&) {
  }
  gate.close_and_wait();
}

TEST(Gate, CloseWaitsForWhoIsInside) {
  Gate gate;
  std::atomic<bool> left{false};
  Gate::Pass pass = gate.enter();
  std::thread closer([&] {
    gate.close_and_wait();
    EXPECT_TRUE(left.load());
  });
  while (gate.enter()) std::this_thread::yield();  // until the closer has closed
  left.store(true);
  { const Gate::Pass ended = std::move(pass); }
  closer.join();
}

// G1, G2, G3: what the guarded object is after the close depends on nobody being inside, and the gate is
// destroyed as soon as the close has returned.
TEST(Gate, NobodyIsInsideAfterTheCloseUnderLoad) {
  for (int round = 0; round < 300; ++round) {
    auto gate = std::make_unique<Gate>();
    int guarded = 0;  // plain: ordered by the gate alone
    std::atomic<int> working{0};
    std::vector<std::thread> threads;
    std::atomic<int> counted{0};
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        while (true) {
          const Gate::Pass pass = gate->enter();
          if (!pass) break;
          working.fetch_add(1);
          counted.fetch_add(1);
          EXPECT_EQ(guarded, 0);
          working.fetch_sub(1);
        }
      });
    }
    while (counted.load() < 10) std::this_thread::yield();
    gate->close_and_wait();
    EXPECT_EQ(working.load(), 0);
    guarded = 1;
    for (auto& thread : threads) thread.join();
  }
}

TEST(Gate, SeveralClosersAllReturn) {
  Gate gate;
  Gate::Pass pass = gate.enter();
  std::vector<std::thread> closers;
  for (int t = 0; t < 4; ++t) closers.emplace_back([&] { gate.close_and_wait(); });
  { const Gate::Pass ended = std::move(pass); }
  for (auto& thread : closers) thread.join();
  EXPECT_FALSE(gate.enter());
}

}  // namespace
}  // namespace millrace::sync
