// The limit at every single commit, by a count of the backend's own.
#include <gtest/gtest.h>
#include <millrace/device.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "memory/geometry.h"
#include "support/counted_device.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

TEST(LimitAtCommit, HoldsAtEachCommitUnderEightThreads) {
  constexpr std::size_t kLimit = 24 * kMiB;
  const std::uint64_t seed = seed_of_run();
  const auto ledger = std::make_shared<MemoryLedger>();
  ledger->set_limit(kLimit);
  const DeviceOptions options{.memory_limit = kLimit, .out_of_memory_wait = std::chrono::milliseconds(1)};
  const std::size_t operations = scaled(30'000, 10);
  std::atomic<std::size_t> refused = 0;
  {
    Device device = create_counted_device("host:0", options, ledger);
    on_threads(8, [&](int number) {
      Random random(seed, static_cast<std::uint64_t>(number));
      std::vector<Buffer> held;
      for (std::size_t i = 0; i < operations; ++i) {
        if (random.one_in(2000)) device.trim();
        if (held.size() > 30 || (!held.empty() && random.one_in(2))) {
          std::swap(held[random.below(held.size())], held.back());
          held.pop_back();
          continue;
        }
        try {
          held.push_back(device.buffer(random.log_uniform(1, random.one_in(20) ? 16 * kMiB : 512 * kKiB)));
        } catch (const OutOfMemoryError&) {
          ++refused;
          held.clear();
        }
      }
    });
    EXPECT_EQ(ledger->bytes(), device.memory().committed);
    EXPECT_EQ(device.memory().live, 0u);
    EXPECT_LE(device.memory().peak_committed, kLimit);
    EXPECT_GE(device.memory().peak_committed, ledger->peak());
    EXPECT_EQ(ledger->heaps(), device.memory().heaps_created - device.memory().heaps_released);
    device.trim();
    EXPECT_EQ(ledger->bytes(), 0u);
    Buffer left = device.buffer(10 * kMiB);
    EXPECT_GE(ledger->bytes(), 10 * kMiB);
    device.close();
  }
  EXPECT_EQ(ledger->bytes(), 0u);  // the close gave everything back
  EXPECT_EQ(ledger->heaps(), 0u);
  EXPECT_GT(ledger->commits(), 10u);
  EXPECT_GT(refused, 0u) << "the limit was never reached: the test is too small";
}

}  // namespace
}  // namespace millrace::test
