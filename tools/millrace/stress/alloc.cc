#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stress/kinds.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kBlocksPerThread = 12;
constexpr std::uint64_t kLargestBlock = std::uint64_t{4} << 20;

/// An allocation full of one byte, from its write on.
struct Block {
  void* address = nullptr;
  std::size_t bytes = 0;
  std::uint8_t pattern = 0;
  Event written;
};

/// Where threads leave blocks for each other.
///
/// Thread safety: any thread.
class Exchange {
 public:
  explicit Exchange(std::size_t capacity) : capacity_(capacity) {}

  void put(Block block) {
    const std::lock_guard lock(mutex_);
    blocks_.push_back(std::move(block));
  }

  /// Any one of them, if there are more than there should be.
  std::optional<Block> take_surplus(Random& random) {
    const std::lock_guard lock(mutex_);
    if (blocks_.size() <= capacity_) return std::nullopt;
    std::swap(blocks_[random.below(blocks_.size())], blocks_.back());
    return pop();
  }

  std::optional<Block> take() {
    const std::lock_guard lock(mutex_);
    return blocks_.empty() ? std::nullopt : std::optional(pop());
  }

 private:
  Block pop() {
    Block block = std::move(blocks_.back());
    blocks_.pop_back();
    return block;
  }

  std::mutex mutex_;  // protects what follows
  std::vector<Block> blocks_;
  std::size_t capacity_;
};

Block make_block(Device& device, Stream stream, Random& random) {
  Block block;
  block.bytes = random.log_uniform(1, kLargestBlock);
  block.pattern = static_cast<std::uint8_t>(random.next());
  block.address = device.allocate(stream, block.bytes);
  block.written = device.event();
  stream.fill(block.address, block.pattern, block.bytes);
  block.written.record(stream);
  stream.commit();
  return block;
}

/// A block that somebody else wrote, perhaps on another stream: the bytes must still be his.
void check_and_free(Device& device, Block block, Random& random, std::uint64_t index, Findings& findings) {
  Stream stream = device.stream();
  std::vector<std::uint8_t> seen(block.bytes);
  const Settled settled(stream);
  stream.wait_event(block.written);
  stream.copy(seen.data(), block.address, block.bytes);
  const bool free_early = random.one_in(2);
  if (free_early) {
    // The copy has not run yet: marking the use is what keeps the block from being handed out again.
    device.record_use(block.address, stream);
    device.deallocate(block.address);
  }
  stream.wait();
  if (!free_early) device.deallocate(block.address);
  const auto wrong = std::ranges::find_if(seen, [&](std::uint8_t byte) { return byte != block.pattern; });
  if (wrong != seen.end()) {
    findings.error(fmt::format("iteration {}: byte {} of a block of {} is {:#04x}, written was {:#04x}{}",
                               index, wrong - seen.begin(), block.bytes, *wrong, block.pattern,
                               free_early ? " (freed after record_use)" : ""));
  }
}

}  // namespace

std::uint64_t stress_alloc(const StressOptions& options, Findings& findings) {
  Device device = stress_device(options);
  Exchange exchange(kBlocksPerThread * static_cast<std::size_t>(options.threads));
  const std::uint64_t done = for_each_iteration(options, findings, [&](std::uint64_t index, Random& random) {
    if (random.one_in(16)) {
      // For a stream whose lease ends before the block does.
      const StreamLease lease = device.lease();
      exchange.put(make_block(device, lease.stream(), random));
    } else {
      exchange.put(make_block(device, device.stream(), random));
    }
    if (std::optional<Block> block = exchange.take_surplus(random)) {
      check_and_free(device, std::move(*block), random, index, findings);
    }
    if (random.one_in(500)) device.trim();
  });
  Random random(options.seed);
  while (std::optional<Block> block = exchange.take()) {
    attempt(findings, "after the iterations",
            [&] { check_and_free(device, std::move(*block), random, options.iterations, findings); });
  }
  check_device_at_rest(device, findings);
  return done;
}

}  // namespace millrace::tool
