#include <algorithm>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "stress/kinds.h"

namespace millrace::tool {
namespace {

constexpr int kSharedStreams = 3;
constexpr std::uint64_t kLongestChain = 40;

DeviceOptions streams_for(const StressOptions& options) {
  DeviceOptions device;
  // A lease for each thread and one in its hands, beside the shared ones and the default.
  device.streams = std::clamp(2 * options.threads + kSharedStreams + 1, 8, 1024);
  return device;
}

/// A chain of tasks that each note their number, copies among them that hand a value on. recorder: on
/// a stream that nobody else records into, some links go through one Recorder.
void run_chain(Device& device, Stream stream, bool own_stream, Random& random, std::uint64_t index,
               Findings& findings) {
  const std::uint64_t length = 1 + random.below(kLongestChain);
  const std::size_t bytes = random.log_uniform(1, 1 << 16);
  const auto pattern = static_cast<std::uint8_t>(random.next());
  std::vector<std::uint64_t> order;
  std::vector<std::uint8_t> result(bytes);
  order.reserve(length);
  const Settled settled(stream);
  Buffer from = device.buffer(stream, bytes);
  Buffer to = device.buffer(stream, bytes);
  stream.fill(from.data(), pattern, bytes);
  for (std::uint64_t i = 0; i < length; ++i) {
    const auto note = [&order, i] { order.push_back(i); };
    if (own_stream && random.one_in(3)) {
      Recorder recorder = stream.record();
      recorder.run("link", note).copy(to.data(), from.data(), bytes);
      recorder.end();
    } else {
      stream.run("link", note);
      stream.copy(to.data(), from.data(), bytes);
    }
    std::swap(from, to);
    if (random.one_in(4)) stream.commit();
  }
  stream.copy(result.data(), from.data(), bytes);
  stream.commit();
  stream.wait();

  std::vector<std::uint64_t> wanted(length);
  std::iota(wanted.begin(), wanted.end(), 0U);
  if (order != wanted) {
    findings.error(fmt::format("iteration {}: {} of {} links ran on stream {}, or not in their order", index,
                               order.size(), length, stream.id()));
  }
  if (std::ranges::any_of(result, [&](std::uint8_t byte) { return byte != pattern; })) {
    findings.error(fmt::format("iteration {}: {} bytes lost their value along {} copies on stream {}", index,
                               bytes, length, stream.id()));
  }
  if (own_stream && !stream.query()) {
    findings.error(fmt::format("iteration {}: stream {} is not done after a wait", index, stream.id()));
  }
}

}  // namespace

std::uint64_t stress_streams(const StressOptions& options, Findings& findings) {
  Device device = stress_device(options, streams_for(options));
  std::vector<StreamLease> shared;
  shared.reserve(kSharedStreams);
  for (int i = 0; i < kSharedStreams; ++i) shared.push_back(device.lease());
  const std::uint64_t done = for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    switch (random.below(3)) {
      case 0: run_chain(device, device.stream(), true, random, index, findings); break;
      case 1: {
        const StreamLease lease = device.lease();
        run_chain(device, lease.stream(), true, random, index, findings);
        break;
      }
      default:
        run_chain(device, shared[random.below(shared.size())].stream(), false, random, index, findings);
        break;
    }
  });
  shared.clear();
  check_device_at_rest(device, findings);
  return done;
}

}  // namespace millrace::tool
