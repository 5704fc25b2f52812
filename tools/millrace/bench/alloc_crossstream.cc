// bench alloc, mode crossstream: blocks that a second stream uses before they are freed.
#include <array>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include "bench/alloc_field.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kAtATime = 16;  // fills a command buffer

/// Ours: blocks of the thread's own stream, used on a leased one.
class OurTwoStreams {
 public:
  explicit OurTwoStreams(Device& device) : device_(device), second_(device.lease()) {}
  void* allocate(std::size_t bytes) { return device_.allocate(bytes); }
  void use(void* address, std::size_t bytes) { second_.stream().fill(address, 1, bytes); }
  void submit() { second_.stream().commit(); }
  void record_use(void* address) { device_.record_use(address, second_.stream()); }
  void release(void* address, std::size_t) { device_.deallocate(address); }

 private:
  Device& device_;
  StreamLease second_;
};

class PeerTwoStreams {
 public:
  PeerTwoStreams(const PeerAllocator& peer, void* stream, void* second)
      : peer_(peer), stream_(stream), second_(second) {
    peer_.enter();
  }
  void* allocate(std::size_t bytes) { return peer_.allocate(stream_, bytes); }
  void use(void* address, std::size_t bytes) { peer_.fill(second_, address, 1, bytes); }
  void submit() {}  // queued as it is asked for
  void record_use(void* address) { peer_.record_use(stream_, second_, address); }
  void release(void* address, std::size_t bytes) { peer_.release(stream_, address, bytes); }

 private:
  const PeerAllocator& peer_;
  void* stream_;
  void* second_;
};

/// Times what the allocator does and leaves out the fills: a device that is busy with them holds up whoever
/// records more, which is no cost of the allocator's.
template <typename Streams>
class alignas(128) CrossStream final : public TimedWork {
 public:
  template <typename... Arguments>
  explicit CrossStream(std::size_t bytes, Arguments&&... arguments)
      : streams_(std::forward<Arguments>(arguments)...), bytes_(bytes) {}
  ~CrossStream() override {
    for (std::size_t i = 0; i < held_; ++i) streams_.release(blocks_[i], bytes_);
  }

  void warm_up() override {
    for (std::size_t done = 0; done < kDrawnSizes; done += kAtATime) run();
    own_ = {};
  }
  std::uint64_t run() override {
    const auto start = Clock::now();
    for (held_ = 0; held_ < kAtATime; ++held_) blocks_[held_] = streams_.allocate(bytes_);
    const auto allocated = Clock::now();
    for (void* const block : blocks_) streams_.use(block, bytes_);
    streams_.submit();
    const auto used = Clock::now();
    for (void* const block : blocks_) streams_.record_use(block);
    while (held_ > 0) streams_.release(blocks_[--held_], bytes_);
    own_ += (allocated - start) + (Clock::now() - used);
    return kAtATime;
  }
  double own_seconds() const override { return std::chrono::duration<double>(own_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Streams streams_;
  std::size_t bytes_;
  std::array<void*, kAtATime> blocks_{};
  std::size_t held_ = 0;  // the first of them
  Clock::duration own_{};
};

template <typename Make>
double measure(int threads, std::chrono::milliseconds duration, Make make) {
  const TimedRun run = run_timed(threads, duration, make);
  // Where threads wait for cores, they do so in what they time as well.
  return run.own_seconds * 1e9 * cores_in_use(threads) / threads / static_cast<double>(run.operations);
}

}  // namespace

AllocMeasurement crossstream_measurement(AllocField& field) {
  AllocMeasurement all{{{"crossstream 4 KiB", 4096, 4096}}, {}};
  all.contestants.push_back(
      {"millrace", [&field](const AllocCase& c, int threads) {
         return measure(threads, field.duration, [&](int) -> std::unique_ptr<TimedWork> {
           return std::make_unique<CrossStream<OurTwoStreams>>(c.largest, field.device);
         });
       }});
  for (const auto& peer : field.peers) {
    all.contestants.push_back(
        {peer->name(), [&field, &peer = *peer](const AllocCase& c, int threads) {
           peer.open_streams(2 * threads);
           return measure(threads, field.duration, [&](int thread) -> std::unique_ptr<TimedWork> {
             return std::make_unique<CrossStream<PeerTwoStreams>>(c.largest, peer, peer.stream(2 * thread),
                                                                  peer.stream(2 * thread + 1));
           });
         }});
  }
  return all;
}

}  // namespace millrace::tool
