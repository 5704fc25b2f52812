#include <atomic>
#include <memory>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "stress/kinds.h"

namespace millrace::tool {
namespace {

constexpr int kSharedStreams = 4;

/// How often each handler of an iteration ran. Shared with the handlers: a late one must find it.
struct Calls {
  explicit Calls(std::uint64_t iterations) : scheduled(iterations), completed(iterations) {}
  // relaxed: each is only counted; Device::synchronize orders them before they are read.
  std::vector<std::atomic<std::uint32_t>> scheduled;
  std::vector<std::atomic<std::uint32_t>> completed;
};

/// What handlers may do: allocate, free, record and commit.
void work_in_handler(Device device, Stream stream) {
  try {
    const Buffer buffer = device.buffer(stream, 4096);
    stream.fill(buffer.data(), 1, buffer.size());
    stream.commit();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Closed) throw;
  }
}

}  // namespace

std::uint64_t stress_handlers(const StressOptions& options, Findings& findings) {
  Device device = stress_device(options);
  std::vector<StreamLease> leases;
  leases.reserve(kSharedStreams);
  for (int i = 0; i < kSharedStreams; ++i) leases.push_back(device.lease());
  const auto calls = std::make_shared<Calls>(options.iterations);
  const std::uint64_t done = for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    Stream stream = leases[random.below(leases.size())].stream();
    if (random.one_in(8)) {
      stream.run("fails", [] { throw std::runtime_error("planted failure"); });
    } else {
      stream.run("works", [] {});
    }
    const bool works = random.one_in(8);
    stream.on_scheduled([calls, index](const Completion&) {
      calls->scheduled[index].fetch_add(1, std::memory_order_relaxed);
    });
    stream.on_completed([calls, index, works, device, stream](const Completion& completion) {
      calls->completed[index].fetch_add(1, std::memory_order_relaxed);
      if (works && completion.status != BufferStatus::closed) work_in_handler(device, stream);
    });
    if (random.one_in(3)) stream.commit();
  });
  for (const StreamLease& lease : leases) Stream(lease.stream()).commit();
  try {
    device.synchronize();
  } catch (const Error& error) {
    // The planted failures come out here; anything else is a finding.
    if (error.code() != ErrorCode::WorkFailed) findings.error(error.what());
  }
  leases.clear();
  for (std::uint64_t i = 0; i < options.iterations; ++i) {
    const std::uint32_t scheduled = calls->scheduled[i].load(std::memory_order_relaxed);
    const std::uint32_t completed = calls->completed[i].load(std::memory_order_relaxed);
    if (scheduled != 1 || completed != 1) {
      findings.error(
          fmt::format("iteration {}: the scheduled handler ran {} times, the completed one {} times", i,
                      scheduled, completed));
    }
  }
  if (const std::uint64_t thrown = device.streams().handler_exceptions; thrown != 0) {
    findings.error(fmt::format("{} handlers threw", thrown));
  }
  check_device_at_rest(device, findings);
  return done;
}

}  // namespace millrace::tool
