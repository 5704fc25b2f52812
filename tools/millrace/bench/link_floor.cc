#include "bench/link_floor.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>

namespace millrace::tool {
namespace {

constexpr std::uint64_t kPiece = std::uint64_t{64} << 20;
/// Of them are on their way at once: the device's queue is never empty.
constexpr std::uint64_t kAtOnce = 16;

}  // namespace

LinkFloor::LinkFloor(const Device& device)
    : device_(device), pinned_(device_.pinned_buffer(kPiece)), memory_(device_.buffer(kPiece)) {
  std::memset(pinned_.data(), 0, kPiece);
}

double LinkFloor::time(std::uint64_t bytes) {
  Stream stream = device_.stream();
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t done = 0; done < bytes;) {
    for (std::uint64_t i = 0; i < kAtOnce && done < bytes; ++i) {
      const std::uint64_t piece = std::min(kPiece, bytes - done);
      stream.copy(memory_.data(), pinned_.data(), static_cast<std::size_t>(piece));
      done += piece;
    }
    stream.commit();
  }
  stream.wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace millrace::tool
