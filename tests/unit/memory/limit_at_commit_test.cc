// The limit at every single commit, by a count of the backend's own.
#include <gtest/gtest.h>
#include <millrace/device.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/access.h"
#include "backends/host/backend.h"
#include "event/pool.h"
#include "memory/allocator.h"
#include "support/counting_memory.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

std::shared_ptr<MemoryLedger>& ledger_of_next_device() {
  static std::shared_ptr<MemoryLedger> ledger;
  return ledger;
}

sync::Ref<Core> build_counted(const std::string& name, const DeviceOptions& options) {
  auto backend =
      std::make_unique<CountedBackend>(host::make_host_backend(0, options), ledger_of_next_device());
  auto core = sync::make_ref<Core>(name, options, std::move(backend));
  Geometry geometry;
  geometry.granule = core->backend().granule();
  geometry.heap_bytes = kGiB;
  core->install(LayerId::streams, std::make_unique<StreamPool>(*core, StreamPool::Options::from(options)));
  core->install(LayerId::events, std::make_unique<EventPool>(*core));
  auto allocator = std::make_unique<Allocator>(*core, geometry, options.memory_limit);
  core->set_use_checker(allocator.get());
  core->install(LayerId::memory, std::move(allocator));
  core->backend().start(options.streams, StreamPool::of(*core)).throw_if_failed();
  return core;
}

TEST(LimitAtCommit, HoldsAtEachCommitUnderEightThreads) {
  constexpr std::size_t kLimit = 24 * kMiB;
  const std::uint64_t seed = seed_of_run();
  const auto ledger = std::make_shared<MemoryLedger>();
  ledger->set_limit(kLimit);
  ledger_of_next_device() = ledger;
  const DeviceOptions options{.memory_limit = kLimit, .out_of_memory_wait = std::chrono::milliseconds(1)};
  const std::size_t operations = scaled(30'000, 10);
  std::atomic<std::size_t> refused = 0;
  {
    sync::Ref<Core> core = Registry::get().create("host:0", options, &build_counted);
    core->add_ref();  // the handle's own
    Device device = detail::Access::make_device(core.get());
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
