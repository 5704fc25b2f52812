// bench alloc, mode multistream: RMM's multi_stream_allocations benchmark, which shows where an allocator
// makes streams wait for each other.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include <fmt/format.h>

#include "bench/alloc_field.h"
#include "bench/spin_kernel.h"
#include "open_device.h"

namespace millrace::tool {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kKernels = 4;
constexpr std::size_t kBytes = 8;
/// Rounds go on for so long: RMM's, too, is the mean of many, the first of which finds nothing allocated.
constexpr std::chrono::milliseconds kRounds{200};

/// About as long as the kernel, where a stream runs on a thread.
void spin_on_host() {
  const auto end = Clock::now() + std::chrono::microseconds(500);
  while (Clock::now() < end) {
  }
}

/// Ours: streams of a device of its own, whose driver's streams are open to the bench all the time.
class OurStreams {
 public:
  OurStreams(const AllocField& field, std::size_t count)
      : device_(create_device(field.device_name, field.options)) {
    select_cuda_device(field.number);
    for (std::size_t i = 0; i < count; ++i) leases_.push_back(device_.lease());
    for (const StreamLease& lease : leases_) natives_.push_back(lease.stream().record_native());
  }
  void launch(std::size_t number) {
    void* const block = device_.allocate(leases_[number].stream(), kBytes);
    launch_spin(natives_[number].stream(), block);
    device_.deallocate(block);
  }
  static void wait() { wait_for_cuda_device(); }

 private:
  Device device_;
  std::vector<StreamLease> leases_;      // after the device: they end first
  std::vector<NativeRecorder> natives_;  // and these before them
};

class PeerStreams {
 public:
  PeerStreams(const millrace_peer& peer, int device, std::size_t count) : peer_(peer, device, kInitialBytes) {
    select_cuda_device(device);
    peer_.open_streams(static_cast<int>(count));
  }
  void launch(std::size_t number) {
    void* const stream = peer_.stream(static_cast<int>(number));
    void* const block = peer_.allocate(stream, kBytes);
    launch_spin(stream, block);
    peer_.release(stream, block, kBytes);
  }
  static void wait() { wait_for_cuda_device(); }

 private:
  static constexpr std::uint64_t kInitialBytes = std::uint64_t{1} << 30U;
  PeerAllocator peer_;
};

/// The kernels and no allocator.
class KernelsAlone {
 public:
  KernelsAlone(int device, std::size_t count) {
    select_cuda_device(device);
    for (std::size_t i = 0; i < count; ++i) streams_.emplace_back();
  }
  void launch(std::size_t number) { streams_[number].launch(); }
  static void wait() { wait_for_cuda_device(); }

 private:
  std::vector<SpinStream> streams_;
};

/// On the host, where kernels are tasks; with or without the allocations.
class HostTasks {
 public:
  HostTasks(const AllocField& field, std::size_t count, bool alone)
      : device_(create_device(field.device_name, field.options)), alone_(alone) {
    for (std::size_t i = 0; i < count; ++i) leases_.push_back(device_.lease());
  }
  void launch(std::size_t number) {
    Stream stream = leases_[number].stream();
    void* const block = alone_ ? nullptr : device_.allocate(stream, kBytes);
    stream.run("spin", spin_on_host);
    stream.commit();
    if (block != nullptr) device_.deallocate(block);
  }
  void wait() {
    for (const StreamLease& lease : leases_) lease.stream().wait();
  }

 private:
  Device device_;
  const bool alone_;
  std::vector<StreamLease> leases_;  // after the device: they end first
};

/// us a round.
template <typename Streams>
double measure(Streams&& streams, const AllocCase& c, const AllocField& field) {
  if (!c.cold) {
    for (std::size_t i = 0; i < c.count; ++i) streams.launch(i);
    streams.wait();
  }
  const auto duration = field.on_host ? field.duration : std::max(field.duration, kRounds);
  const auto start = Clock::now();
  int rounds = 0;
  do {
    for (std::size_t i = 0; i < kKernels; ++i) streams.launch(i % c.count);
    streams.wait();
    ++rounds;
  } while (Clock::now() - start < duration);
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / rounds;
}

std::vector<AllocCase> all_cases() {
  std::vector<AllocCase> cases;
  for (const std::uint64_t streams : {4, 2, 1}) {
    for (const bool cold : {true, false}) {
      cases.push_back({fmt::format("multistream {}/{} {}", streams, kKernels, cold ? "cold" : "warm"), kBytes,
                       kBytes, streams, cold});
    }
  }
  return cases;
}

}  // namespace

AllocMeasurement multistream_measurement(AllocField& field) {
  AllocMeasurement all{all_cases(), {}};
  all.contestants.push_back({"millrace", [&field](const AllocCase& c, int) {
                               if (field.on_host) return measure(HostTasks(field, c.count, false), c, field);
                               return measure(OurStreams(field, c.count), c, field);
                             }});
  all.contestants.push_back({"floor", [&field](const AllocCase& c, int) {
                               if (field.on_host) return measure(HostTasks(field, c.count, true), c, field);
                               return measure(KernelsAlone(field.number, c.count), c, field);
                             }});
  if (field.on_host) return all;  // peers have no tasks
  for (const millrace_peer* const peer : field.fresh_peers) {
    all.contestants.push_back({peer->name, [&field, peer](const AllocCase& c, int) {
                                 return measure(PeerStreams(*peer, field.number, c.count), c, field);
                               }});
  }
  return all;
}

}  // namespace millrace::tool
