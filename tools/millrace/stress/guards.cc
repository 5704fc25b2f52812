#include <array>
#include <vector>

#include <fmt/format.h>

#include "stress/kinds.h"

namespace millrace::tool {
namespace {

constexpr int kDeepest = 6;

/// What must be current on this thread. Streams name their device, so comparing them compares both.
struct Expected {
  std::size_t device = 0;
  std::array<Stream, 2> stream;  // a device's current stream
};

class Nesting {
 public:
  Nesting(std::array<Device, 2>& devices, const std::array<Stream, 2>& others, Random& random,
          std::uint64_t index, Findings& findings)
      : devices_(devices), others_(others), random_(random), index_(index), findings_(findings) {}

  void run(const Expected& now, int depth) {
    check(now, "on entering");
    if (depth < kDeepest && !random_.one_in(4)) {
      if (random_.one_in(2)) {
        nest_device(now, depth);
      } else {
        nest_stream(now, depth);
      }
    }
    check(now, "after the guards within");
  }

 private:
  void nest_device(Expected now, int depth) {
    now.device = random_.below(2);
    DeviceGuard guard(devices_[now.device]);
    if (random_.one_in(2)) {
      now.device = random_.below(2);
      guard.set(devices_[now.device]);
    }
    run(now, depth + 1);
  }

  void nest_stream(Expected now, int depth) {
    choose_stream(now);
    StreamGuard guard(now.stream[now.device]);
    if (guard.current() != now.stream[now.device]) report("StreamGuard::current", "in the guard");
    run(now, depth + 1);
  }

  void choose_stream(Expected& now) {
    now.device = random_.below(2);
    now.stream[now.device] = random_.one_in(2) ? others_[now.device] : devices_[now.device].default_stream();
  }

  void check(const Expected& now, const char* when) {
    if (current_device().stream() != now.stream[now.device]) report("current_device", when);
    if (devices_[now.device].stream() != now.stream[now.device]) report("Device::stream", when);
  }

  void report(const char* what, const char* when) {
    findings_.error(fmt::format("iteration {}: {} is not what the guards say, {}", index_, what, when));
  }

  std::array<Device, 2>& devices_;
  const std::array<Stream, 2>& others_;
  Random& random_;
  std::uint64_t index_;
  Findings& findings_;
};

}  // namespace

std::uint64_t stress_guards(const StressOptions& options, Findings& findings) {
  std::array<Device, 2> devices{stress_device(options), stress_device(options)};
  const std::array<StreamLease, 2> leases{devices[0].lease(), devices[1].lease()};
  const std::array<Stream, 2> others{leases[0].stream(), leases[1].stream()};
  const std::uint64_t done = for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    Expected start;
    start.device = random.below(2);
    start.stream = {devices[0].stream(), devices[1].stream()};
    const DeviceGuard outermost(devices[start.device]);
    Nesting(devices, others, random, index, findings).run(start, 0);
  });
  for (const Device& device : devices) check_device_at_rest(device, findings);
  return done;
}

}  // namespace millrace::tool
