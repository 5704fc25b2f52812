// bench alloc, mode handoff: one thread allocates, another frees.
#include <array>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "bench/alloc_field.h"

namespace millrace::tool {
namespace {

/// Blocks on their way from one thread to another. Each side keeps what it last saw of the other's index, so
/// that the line which both touch moves once a ring rather than once a block.
///
/// Thread safety: one thread pushes, one other pops.
class Ring {
 public:
  static constexpr std::uint64_t kSize = 256;

  /// False where it is full.
  bool has_room() noexcept {
    // relaxed: its own. acquire: pairs with the release in pop; the place was read before it is written.
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    if (head - seen_tail_ < kSize) return true;
    seen_tail_ = tail_.load(std::memory_order_acquire);
    return head - seen_tail_ < kSize;
  }
  void push(void* address) noexcept {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);  // relaxed: its own
    places_[head % kSize] = address;
    head_.store(head + 1, std::memory_order_release);  // pairs with the acquire in pop
  }
  /// Null where it is empty.
  void* pop() noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);  // relaxed: its own
    if (tail == seen_head_) seen_head_ = head_.load(std::memory_order_acquire);
    if (tail == seen_head_) return nullptr;
    void* const address = places_[tail % kSize];
    tail_.store(tail + 1, std::memory_order_release);
    return address;
  }

 private:
  alignas(128) std::atomic<std::uint64_t> head_{0};  // written by who pushes
  std::uint64_t seen_tail_ = 0;
  alignas(128) std::atomic<std::uint64_t> tail_{0};  // written by who pops
  std::uint64_t seen_head_ = 0;
  alignas(128) std::array<void*, kSize> places_{};
};

/// What is counted: blocks allocated and handed over.
template <typename Blocks>
class alignas(128) Giver final : public TimedWork {
 public:
  Giver(const Blocks& blocks, Ring& ring, std::size_t bytes) : blocks_(blocks), ring_(ring), bytes_(bytes) {}
  void warm_up() override { run(); }
  std::uint64_t run() override {
    for (std::uint64_t done = 0; done < kOperationsALook; ++done) {
      if (!ring_.has_room()) {
        std::this_thread::yield();  // there may be fewer cores than threads
        return done;
      }
      ring_.push(blocks_.allocate(bytes_));
    }
    return kOperationsALook;
  }

 private:
  Blocks blocks_;
  Ring& ring_;
  std::size_t bytes_;
};

template <typename Blocks>
class alignas(128) Taker final : public TimedWork {
 public:
  Taker(const Blocks& blocks, Ring& ring, std::size_t bytes) : blocks_(blocks), ring_(ring), bytes_(bytes) {}
  /// Its giver pushes no more: all have ended their time before the first work ends.
  ~Taker() override { take(Ring::kSize); }
  void warm_up() override {}
  std::uint64_t run() override {
    if (!take(kOperationsALook)) std::this_thread::yield();
    return 0;
  }

 private:
  /// False where it found the ring empty.
  bool take(std::uint64_t most) {
    for (std::uint64_t done = 0; done < most; ++done) {
      void* const address = ring_.pop();
      if (address == nullptr) return false;
      blocks_.release(address, bytes_);
    }
    return true;
  }

  Blocks blocks_;
  Ring& ring_;
  std::size_t bytes_;
};

/// make: a pair's view of the allocator, on the thread that uses it.
template <typename Make>
double measure(const AllocCase& c, int pairs, std::chrono::milliseconds duration, Make make) {
  std::vector<Ring> rings(static_cast<std::size_t>(pairs));
  const TimedRun run = run_timed(2 * pairs, duration, [&](int thread) -> std::unique_ptr<TimedWork> {
    using Blocks = decltype(make(0));
    const int pair = thread / 2;
    Ring& ring = rings[static_cast<std::size_t>(pair)];
    if (thread % 2 == 0) return std::make_unique<Giver<Blocks>>(make(pair), ring, c.largest);
    return std::make_unique<Taker<Blocks>>(make(pair), ring, c.largest);
  });
  return run.seconds * 1e9 * pairs / static_cast<double>(run.operations);
}

}  // namespace

AllocMeasurement handoff_measurement(AllocField& field) {
  AllocMeasurement all{{{"handoff 4 KiB", 4096, 4096}}, {}};
  all.contestants.push_back({"millrace", [&field](const AllocCase& c, int pairs) {
                               return measure(c, pairs, field.duration,
                                              [&](int) { return OwnStreamBlocks{field.device}; });
                             }});
  add_host_peers(all, field, [&field](const AllocCase& c, int pairs, const auto& blocks) {
    return measure(c, pairs, field.duration, [&](int) { return blocks; });
  });
  for (const auto& peer : field.peers) {
    all.contestants.push_back({peer->name(), [&field, &peer = *peer](const AllocCase& c, int pairs) {
                                 peer.open_streams(pairs);
                                 return measure(c, pairs, field.duration, [&](int pair) {
                                   peer.enter();
                                   return PeerBlocks{peer, peer.stream(pair)};
                                 });
                               }});
  }
  return all;
}

}  // namespace millrace::tool
