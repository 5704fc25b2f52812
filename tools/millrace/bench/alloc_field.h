// Who takes part in one mode of bench alloc, and what a mode's measurements are made of.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <millrace/device.h>

#include "bench/alloc_modes.h"
#include "bench/allocators.h"
#include "bench/timed_threads.h"
#include "random.h"

namespace millrace::tool {

/// One row of a table at each thread count. Sizes in bytes, evenly over their logarithm.
struct AllocCase {
  std::string name;
  std::uint64_t smallest = 0, largest = 0;
  std::uint64_t count = 0;  ///< of allocations (random), of streams (multistream)
  bool cold = false;        ///< multistream
};

/// One column: measures a case once, in the unit of its mode.
struct AllocContestant {
  std::string impl;
  std::function<double(const AllocCase&, int threads)> measure;
};

/// What an allocator could not do in one case, and may be able to in others.
class CaseFailure : public PeerFailure {
 public:
  using PeerFailure::PeerFailure;
};

struct AllocMeasurement {
  std::vector<AllocCase> cases;
  std::vector<AllocContestant> contestants;
};

/// Our device and the peers, made for one mode: what one has cached in a mode is not missing in the next.
struct AllocField {
  std::string device_name;
  DeviceOptions options;
  Device device;
  const MimallocBlocks* mimalloc = nullptr;  ///< null: not here
  bool host_peers = false;                   ///< glibc and mimalloc take part
  std::vector<std::unique_ptr<PeerAllocator>> peers;
  /// Modes in which each allocator is made for a case and is gone before the next: those that take part, and
  /// the device's number.
  std::vector<const millrace_peer*> fresh_peers;
  int number = 0;
  bool on_host = false;
  std::chrono::milliseconds duration{50};
};

/// What a mode measures; the field must outlive it.
AllocMeasurement pair_measurement(AllocMode mode, AllocField& field);  ///< pair, large and shared
AllocMeasurement handoff_measurement(AllocField& field);
AllocMeasurement crossstream_measurement(AllocField& field);
AllocMeasurement growth_measurement(AllocField& field);
AllocMeasurement random_measurement(AllocField& field);
AllocMeasurement multistream_measurement(AllocField& field);
AllocMeasurement pool_measurement(AllocMode mode, AllocField& field);  ///< lease, event and query

constexpr std::size_t kDrawnSizes = 4096;      // a thread, before the clock starts
constexpr std::size_t kOperationsALook = 256;  // at the clock

inline std::vector<std::size_t> draw_sizes(const AllocCase& c, int thread) {
  Random random(1, static_cast<std::uint64_t>(thread));
  std::vector<std::size_t> sizes(kDrawnSizes);
  for (std::size_t& size : sizes) {
    size = c.smallest == c.largest ? c.smallest : random.log_uniform(c.smallest, c.largest);
  }
  return sizes;
}

/// How many of these threads can run at once.
inline int cores_in_use(int threads) {
  return std::min(threads, static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U)));
}

/// ns an operation costs one core: the time from the common start to the common end, times the cores in use,
/// over the operations of all threads.
inline double ns_of_a_core(const TimedRun& run, int threads) {
  return run.seconds * 1e9 * cores_in_use(threads) / static_cast<double>(run.operations);
}

/// glibc and mimalloc, where they take part: measure(case, count, blocks) is a contestant's figure with them.
template <typename Measure>
void add_host_peers(AllocMeasurement& all, const AllocField& field, Measure measure) {
  if (!field.host_peers) return;
  all.contestants.push_back(
      {"glibc", [measure](const AllocCase& c, int count) { return measure(c, count, GlibcBlocks{}); }});
  if (field.mimalloc == nullptr) return;
  all.contestants.push_back({"mimalloc", [measure, blocks = *field.mimalloc](const AllocCase& c, int count) {
                               return measure(c, count, blocks);
                             }});
}

}  // namespace millrace::tool
