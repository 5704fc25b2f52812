#include "device/context.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "device/core.h"
#include "support/fake_device.h"
#include "support/watchdog.h"

namespace millrace {
namespace {

using test::FakeDevice;
using test::Watchdog;

/// Counts what happens to it; plain members, ordered by the context alone (X2).
struct CountingPart final : ContextPart {
  struct Counts {
    std::atomic<int> retired{0}, folded{0};
  };
  explicit CountingPart(Counts& c) : counts(c) {}
  void retire() noexcept override { counts.retired.fetch_add(1); }
  void fold() noexcept override { counts.folded.fetch_add(1); }
  Counts& counts;
  int used = 0;
};

TEST(Context, OnePartyAtATime) {
  FakeDevice device;
  Context context(sync::Ref<Core>::share(&device.core()), 1);
  {
    const Context::Hold owner = context.hold();
    EXPECT_TRUE(owner);
    EXPECT_FALSE(context.try_steal());
  }
  {
    Context::Hold thief = context.try_steal();
    EXPECT_TRUE(thief);
    EXPECT_FALSE(context.try_steal());
    thief.leave();
    EXPECT_FALSE(thief);
  }
  EXPECT_TRUE(context.hold());
}

TEST(Context, RetiredIsFinal) {
  FakeDevice device;
  Context context(sync::Ref<Core>::share(&device.core()), 1);
  EXPECT_FALSE(context.retired());
  EXPECT_TRUE(context.try_retire());
  EXPECT_FALSE(context.try_retire());
  EXPECT_TRUE(context.retired());
  EXPECT_FALSE(context.hold());
  EXPECT_FALSE(context.try_steal());
}

// X1, X2: the plain counter is only safe if holds exclude each other and order what they did.
TEST(Context, OwnerAndThievesExcludeEachOther) {
  const Watchdog watchdog("owner and thieves");
  FakeDevice device;
  Context context(sync::Ref<Core>::share(&device.core()), 1);
  CountingPart::Counts counts;
  auto part = std::make_unique<CountingPart>(counts);
  CountingPart& counter = *part;
  context.set_part(LayerId::memory, std::move(part));
  std::atomic<bool> stop{false};
  std::atomic<int> stolen{0};
  std::vector<std::thread> thieves;
  for (int t = 0; t < 2; ++t) {
    thieves.emplace_back([&] {
      while (!stop.load()) {
        if (const Context::Hold hold = context.try_steal()) {
          ++counter.used;
          stolen.fetch_add(1);
        }
        std::this_thread::sleep_for(std::chrono::microseconds(20));  // the owner is to get some, too
      }
    });
  }
  constexpr int kOperations = 20000;
  for (int i = 0; i < kOperations; ++i) {
    const Context::Hold hold = context.hold();
    ++counter.used;
  }
  while (stolen.load() < 10) std::this_thread::yield();
  stop.store(true);
  for (auto& thief : thieves) thief.join();
  EXPECT_EQ(counter.used, kOperations + stolen.load());
}

// X3: the ending thread and the closing device race; each context is retired and folded once.
TEST(Context, ThreadExitAgainstClose) {
  const Watchdog watchdog("thread exit against close");
  for (int round = 0; round < 100; ++round) {
    FakeDevice device;
    std::atomic<int> ready{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        static_cast<void>(device.stream());
        ready.fetch_add(1);
        while (!go.load()) std::this_thread::yield();
      });
    }
    while (ready.load() < 3) std::this_thread::yield();
    go.store(true);
    device.close();
    for (auto& thread : threads) thread.join();
    int left = 0;
    device.core().with_contexts(
        [&](std::span<Context* const> contexts) { left = static_cast<int>(contexts.size()); });
    EXPECT_EQ(left, 0);
  }
}

}  // namespace
}  // namespace millrace
