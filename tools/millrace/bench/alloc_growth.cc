// bench alloc, mode growth: how long a fresh device takes to give much memory.
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/alloc_field.h"
#include "byte_size.h"
#include "open_device.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

/// 64 GiB of a GPU; of a host's memory, which others use too, 4 GiB at most.
std::uint64_t total_bytes(const Device& device) {
  const std::uint64_t limit = device.memory().limit;
  const bool host = device.info().name.starts_with("host");
  const std::uint64_t most = host ? std::min(limit / 4, 4096 * kMiB) : std::min(limit / 8 * 7, 65536 * kMiB);
  return std::max(most / kMiB, std::uint64_t{1}) * kMiB;
}

std::vector<std::size_t> draw_blocks(const AllocCase& c, std::uint64_t total) {
  Random random(1);
  std::vector<std::size_t> blocks;
  while (total > 0) {
    blocks.push_back(std::min(random.log_uniform(c.smallest, c.largest), total));
    total -= blocks.back();
  }
  return blocks;
}

/// ms to allocate all of them; frees them afterwards.
template <typename Blocks>
double measure(const Blocks& allocator, const std::vector<std::size_t>& sizes) {
  std::vector<std::pair<void*, std::size_t>> live;
  live.reserve(sizes.size());
  const auto release_all = [&] {
    for (const auto& [address, bytes] : live) allocator.release(address, bytes);
  };
  const auto start = std::chrono::steady_clock::now();
  try {
    for (const std::size_t bytes : sizes) live.emplace_back(allocator.allocate(bytes), bytes);
  } catch (...) {
    release_all();
    throw;
  }
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
  release_all();
  return taken.count();
}

}  // namespace

AllocMeasurement growth_measurement(AllocField& field) {
  const std::uint64_t total = total_bytes(field.device);
  AllocMeasurement all{
      {{"growth " + format_byte_size(total), std::min(kMiB, total), std::max(kMiB, total / 16)}}, {}};
  all.contestants.push_back({"millrace", [&field, total](const AllocCase& c, int) {
                               Device fresh = create_device(field.device_name, field.options);
                               return measure(OwnStreamBlocks{fresh}, draw_blocks(c, total));
                             }});
  for (const auto& peer : field.peers) {
    all.contestants.push_back({peer->name(), [&peer = *peer, total](const AllocCase& c, int) {
                                 peer.open_streams(1);
                                 return measure(PeerBlocks{peer, peer.stream(0)}, draw_blocks(c, total));
                               }});
  }
  return all;
}

}  // namespace millrace::tool
