#include "faults.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stress/fault_life.h"
#include "stress/fault_user.h"
#include "stress/kinds.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kUsers = 2;
constexpr std::size_t kBytes = 4096;

DeviceOptions small_device(Random& random) {
  DeviceOptions options;
  options.workers = 2;
  options.streams = 6;
  options.memory_limit = std::size_t{64} << 20;
  options.pinned_limit = std::size_t{64} << 20;
  options.exhaustion = random.one_in(2) ? ExhaustionPolicy::wait : ExhaustionPolicy::fail;
  options.exhaustion_timeout = std::chrono::milliseconds(1);
  options.out_of_memory_wait = std::chrono::milliseconds(5);
  options.thread_cache_bytes = std::size_t{1} << 20;
  return options;
}

/// Opened among faults, at the latest when it has been refused often enough.
Device open_among(const std::shared_ptr<Faults>& faults, const StressOptions& options,
                  const DeviceOptions& device) {
  for (int i = 0; i < 20; ++i) {
    try {
      const FaultsHere scope(faults);
      return stress_device(options, device);
    } catch (const std::bad_alloc&) {
    } catch (const Error& error) {
      if (error.code() != ErrorCode::OutOfMemory) throw;
    }
  }
  return stress_device(options, device);
}

/// With no more faults everything is as it should be, whatever was refused before.
void check_it_works(Device device, const FaultLife& life, Findings& findings) {
  // A failure is told once for each stream, and each may have had one, and work that was abandoned.
  const int most = 2 * device.streams().streams;
  for (int told = 0;; ++told) {
    if (told > most) throw std::runtime_error(fmt::format("{} failures told, and no end of them", told));
    try {
      device.synchronize();
      break;
    } catch (const Error& error) {
      if (!life.allows(error)) throw;
    }
  }
  const StreamLease lease = device.lease();
  Stream stream = lease.stream();
  Buffer buffer = device.buffer(stream, kBytes);
  std::vector<std::uint8_t> seen(kBytes);
  stream.fill(buffer.data(), 7, kBytes);
  stream.copy(seen.data(), buffer.data(), kBytes);
  stream.wait();
  if (seen != std::vector<std::uint8_t>(kBytes, 7)) findings.error("a fill after the faults did not arrive");
  buffer.reset();
  check_device_at_rest(device, findings);
}

/// Of a device that was closed under its users. It says no more of its memory.
void check_it_is_closed(const Device& device, Findings& findings) {
  for (const MemoryKind kind : {MemoryKind::device, MemoryKind::pinned}) {
    try {
      const MemoryStats memory = device.memory(kind);
      findings.error(fmt::format("a closed device says that {} bytes are live", memory.live));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::Closed) throw;
    }
  }
  const std::size_t missing = device.missing_dependencies().size();
  if (missing != 0) findings.error(fmt::format("{} missing dependencies before the close", missing));
}

FaultRates rates_for(bool driver, bool protect, Random& random) {
  // A driver has threads and mappings of its own, and is not what is under test.
  FaultRates rates{.allocations = std::uint32_t{4} << random.below(7)};
  if (driver) return rates;
  rates.threads = std::uint32_t{2} << random.below(3);
  // Protect mode makes pages unreadable and readable again, which no system refuses as it does new ones.
  if (!protect) rates.mappings = std::uint32_t{2} << random.below(4);
  return rates;
}

}  // namespace

std::uint64_t stress_faults(const StressOptions& options, Findings& findings) {
  const bool driver = stress_device(options).info().driver_streams;
  std::atomic<std::uint64_t> asked[kFaults] = {};  // relaxed: sums that the joins hand over
  const std::uint64_t done = for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    const auto faults = std::make_shared<Faults>(rates_for(driver, options.protect, random), random.next());
    const DeviceOptions device_options = small_device(random);
    const bool close_under_them = random.one_in(4);
    const auto life = std::make_shared<FaultLife>(faults, close_under_them);
    Device device = open_among(faults, options, device_options);
    std::vector<std::thread> users;
    for (std::size_t i = 0; i < kUsers; ++i) {
      users.emplace_back([&, device, i]() mutable {
        faults_until_exit(faults);
        const NoFaultsHere own;
        FaultUser(std::move(device), faults, life, Random(options.seed, index * kUsers + i), index, findings)
            .go();
      });
    }
    if (close_under_them) {
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(2000)));
      const FaultsHere scope(faults);
      device.close();
    }
    for (std::thread& user : users) user.join();
    faults->turn(false);
    attempt(findings, fmt::format("iteration {}, after the faults", index), [&] {
      close_under_them ? check_it_is_closed(device, findings) : check_it_works(device, *life, findings);
    });
    faults->turn(true);
    {
      const FaultsHere scope(faults);
      device = Device();
    }
    life->check(index, findings);
    if (life.use_count() != 1) {
      findings.error(fmt::format("iteration {}: {} handlers or tasks are still there after the close", index,
                                 life.use_count() - 1));
    }
    for (std::size_t i = 0; i < kFaults; ++i)
      asked[i].fetch_add(faults->asked(static_cast<Fault>(i)), std::memory_order_relaxed);
  });
  const bool expected[kFaults] = {true, !driver, !driver && !options.protect};
  for (std::size_t i = 0; i < kFaults; ++i) {
    if (expected[i] && asked[i].load(std::memory_order_relaxed) == 0)
      findings.error(fmt::format("no fault of kind {} could strike: nothing of it was asked for", i));
  }
  return done;
}

}  // namespace millrace::tool
