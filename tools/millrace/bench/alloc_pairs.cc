// bench alloc, modes pair, large and shared: a thread frees one of its live blocks and allocates another.
#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include "bench/alloc_field.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kMostLive = 64;

struct PairShape {
  std::vector<AllocCase> cases;
  std::size_t live = kMostLive;  // blocks a thread holds; a power of two
  bool one_stream = false;       // for all threads
};

PairShape shape_of(AllocMode mode) {
  constexpr std::uint64_t kMiB = 1 << 20;
  if (mode == AllocMode::large) return {{{"large 2 - 64 MiB", 2 * kMiB, 64 * kMiB}}, 16, false};
  if (mode == AllocMode::shared) return {{{"shared 4 KiB", 4096, 4096}}, kMostLive, true};
  return {{{"4 KiB", 4096, 4096}, {"512 B - 1 MiB", 512, kMiB}}, kMostLive, false};
}

/// One thread's pairs. On cache lines of its own, also as the processor fetches them, in twos: where malloc
/// puts them next to each other, threads would disturb each other.
template <typename Blocks>
class alignas(128) Pairs final : public TimedWork {
 public:
  Pairs(const Blocks& blocks, std::size_t live, std::vector<std::size_t> sizes)
      : blocks_(blocks), live_count_(live), sizes_(std::move(sizes)) {}
  ~Pairs() override {
    for (const Block& block : live_) {
      if (block.address != nullptr) blocks_.release(block.address, block.bytes);
    }
  }

  void warm_up() override {
    for (std::size_t i = 0; i < live_count_; ++i) allocate(live_[i]);
    for (std::size_t done = 0; done < kDrawnSizes; done += kOperationsALook) run();
  }
  std::uint64_t run() override {
    for (std::size_t i = 0; i < kOperationsALook; ++i) {
      state_ = state_ * 1664525U + 1013904223U;
      Block& block = live_[(state_ >> 26U) & (live_count_ - 1)];
      blocks_.release(std::exchange(block.address, nullptr), block.bytes);
      allocate(block);
    }
    return kOperationsALook;
  }

 private:
  struct Block {
    void* address = nullptr;
    std::size_t bytes = 0;
  };
  void allocate(Block& block) {
    block.bytes = sizes_[at_++ % kDrawnSizes];
    block.address = blocks_.allocate(block.bytes);
  }

  Blocks blocks_;
  std::size_t live_count_;
  std::vector<std::size_t> sizes_;
  std::array<Block, kMostLive> live_{};
  std::size_t at_ = 0;
  std::uint32_t state_ = 1;
};

/// make: a thread's view of the allocator, on that thread.
template <typename Make>
double measure(const AllocCase& c, std::size_t live, int threads, std::chrono::milliseconds duration,
               Make make) {
  const TimedRun run = run_timed(threads, duration, [&](int thread) -> std::unique_ptr<TimedWork> {
    using Blocks = decltype(make(thread));
    return std::make_unique<Pairs<Blocks>>(make(thread), live, draw_sizes(c, thread));
  });
  return ns_of_a_core(run, threads);
}

double measure_ours(AllocField& field, const PairShape& shape, const AllocCase& c, int threads) {
  if (!shape.one_stream) {
    return measure(c, shape.live, threads, field.duration,
                   [&](int) { return OwnStreamBlocks{field.device}; });
  }
  const StreamLease lease = field.device.lease();
  return measure(c, shape.live, threads, field.duration, [&](int) {
    return NamedStreamBlocks{field.device, lease.stream()};
  });
}

double measure_peer(PeerAllocator& peer, const AllocField& field, const PairShape& shape, const AllocCase& c,
                    int threads) {
  peer.open_streams(shape.one_stream ? 1 : threads);
  return measure(c, shape.live, threads, field.duration, [&](int thread) {
    peer.enter();
    return PeerBlocks{peer, peer.stream(shape.one_stream ? 0 : thread)};
  });
}

}  // namespace

AllocMeasurement pair_measurement(AllocMode mode, AllocField& field) {
  const PairShape shape = shape_of(mode);
  AllocMeasurement all{shape.cases, {}};
  all.contestants.push_back({"millrace", [&field, shape](const AllocCase& c, int threads) {
                               return measure_ours(field, shape, c, threads);
                             }});
  add_host_peers(all, field, [&field, shape](const AllocCase& c, int threads, const auto& blocks) {
    return measure(c, shape.live, threads, field.duration, [&](int) { return blocks; });
  });
  for (const auto& peer : field.peers) {
    all.contestants.push_back({peer->name(), [&field, &peer = *peer, shape](const AllocCase& c, int threads) {
                                 return measure_peer(peer, field, shape, c, threads);
                               }});
  }
  return all;
}

}  // namespace millrace::tool
