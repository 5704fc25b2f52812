#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stress/kinds.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kStages = 3;

DeviceOptions streams_for(const StressOptions& options) {
  DeviceOptions device;
  // Every stage on a stream of its own: on shared ones two relays could wait for each other in a
  // circle, which is refused.
  device.streams = std::clamp(static_cast<int>(kStages + 1) * options.threads + 1, 8, 1024);
  return device;
}

/// One stage a stream; each copies what the one before wrote.
struct Relay {
  std::vector<StreamLease> streams;
  std::vector<Buffer> buffers;
  Event first, baton;
};

Relay record_relay(Device& device, std::uint8_t value, std::size_t bytes, Random& random) {
  Relay relay;
  relay.first = device.event();
  relay.baton = device.event();
  for (std::size_t stage = 0; stage < kStages; ++stage) {
    relay.streams.push_back(device.lease());
    Stream stream = relay.streams.back().stream();
    relay.buffers.push_back(device.buffer(stream, bytes));
    void* const to = relay.buffers.back().data();
    if (stage == 0) {
      stream.fill(to, value, bytes);
      relay.first.record(stream);
    } else {
      // Waits for the generation that the stage before recorded; the next record makes a new one.
      stream.wait_event(relay.baton);
      stream.copy(to, relay.buffers[stage - 1].data(), bytes);
      device.record_use(relay.buffers[stage - 1].data(), stream);
    }
    relay.baton.record(stream);
    if (random.one_in(2)) stream.commit();
  }
  return relay;
}

}  // namespace

std::uint64_t stress_events(const StressOptions& options, Findings& findings) {
  Device device = stress_device(options, streams_for(options));
  const std::uint64_t done = for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    const auto value = static_cast<std::uint8_t>(random.next());
    std::vector<std::uint8_t> result(random.log_uniform(1, 1 << 18));
    Relay relay = record_relay(device, value, result.size(), random);
    Stream reader = device.stream();
    const Settled settled(reader);
    reader.wait_event(relay.baton);
    reader.copy(result.data(), relay.buffers.back().data(), result.size());
    device.record_use(relay.buffers.back().data(), reader);
    reader.commit();
    const bool free_early = random.one_in(2);
    if (free_early) relay.buffers.clear();
    // The last stages first: their work is held until what they wait for is submitted.
    for (auto lease = relay.streams.rbegin(); lease != relay.streams.rend(); ++lease) {
      Stream(lease->stream()).commit();
    }
    if (random.one_in(2)) relay.baton.wait();
    reader.wait();

    if (std::ranges::any_of(result, [&](std::uint8_t byte) { return byte != value; })) {
      findings.error(fmt::format("iteration {}: {} bytes did not come through {} streams{}", index,
                                 result.size(), kStages, free_early ? " (freed early)" : ""));
    }
    if (relay.baton.generation() != kStages) {
      findings.error(fmt::format("iteration {}: generation {} after {} records", index,
                                 relay.baton.generation(), kStages));
    }
    if (!relay.baton.query() || !relay.first.query()) {
      findings.error(fmt::format("iteration {}: an event is not done after its successor's wait", index));
    } else if (relay.baton.elapsed_since(relay.first).count() < 0) {
      findings.error(fmt::format("iteration {}: the last stage ended before the first", index));
    }
  });
  check_device_at_rest(device, findings);
  return done;
}

}  // namespace millrace::tool
