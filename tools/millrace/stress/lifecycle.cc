#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stress/kinds.h"

namespace millrace::tool {
namespace {

constexpr int kSteps = 200;
constexpr std::size_t kUsers = 3;

/// What the threads of one device attached and kept. Ends after the device.
struct Life {
  // relaxed: only counted; the joins and the close order them before they are read.
  std::atomic<std::uint64_t> attached{0};
  std::atomic<std::uint64_t> ran{0};
};

/// Allocates, records, commits and attaches handlers until the device is closed under it, or done.
void use(Device device, const std::shared_ptr<Life>& life, Random random, std::vector<Buffer>& kept,
         Findings& findings) {
  try {
    for (int step = 0; step < kSteps; ++step) {
      Stream stream = device.stream();
      Buffer buffer = device.buffer(random.log_uniform(1, 1 << 18));
      stream.fill(buffer.data(), 1, buffer.size());
      stream.on_completed([life](const Completion&) { life->ran.fetch_add(1, std::memory_order_relaxed); });
      life->attached.fetch_add(1, std::memory_order_relaxed);
      if (random.one_in(2)) stream.commit();
      if (random.one_in(8)) kept.push_back(std::move(buffer));
      if (random.one_in(50)) stream.wait();
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Closed) findings.error(error.what());
  }
}

}  // namespace

std::uint64_t stress_lifecycle(const StressOptions& options, Findings& findings) {
  return for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    DeviceOptions device_options;
    device_options.workers = 2;
    Device device = stress_device(options, device_options);
    const auto life = std::make_shared<Life>();
    std::vector<std::vector<Buffer>> kept(kUsers);  // these outlive the device
    std::vector<std::thread> users;
    for (std::size_t i = 0; i < kUsers; ++i) {
      users.emplace_back(use, device, life, Random(options.seed, index * kUsers + i), std::ref(kept[i]),
                         std::ref(findings));
    }
    switch (random.below(3)) {
      case 0:  // closed under the threads
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(2000)));
        device.close();
        break;
      case 1:  // the last thread's handle closes it, at that thread's exit
        device = Device();
        break;
      default:  // closed after them
        break;
    }
    for (std::thread& user : users) user.join();
    device = Device();
    const std::uint64_t attached = life->attached.load(std::memory_order_relaxed);
    const std::uint64_t ran = life->ran.load(std::memory_order_relaxed);
    if (ran != attached) {
      findings.error(fmt::format("iteration {}: {} handlers attached, {} ran before the close ended", index,
                                 attached, ran));
    }
  });
}

}  // namespace millrace::tool
