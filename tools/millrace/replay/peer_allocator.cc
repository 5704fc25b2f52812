#include "replay/peer_allocator.h"

#include <algorithm>

#include <fmt/format.h>

#include <millrace/error.h>

namespace millrace::tool {
namespace {

/// Of a block of no bytes, which not every allocator has.
constexpr std::size_t kLeast = 1;

}  // namespace

PeerReplayAllocator::PeerReplayAllocator(const millrace_peer& peer, int device, std::size_t streams)
    : peer_(peer, device, 0) {
  peer_.open_streams(static_cast<int>(streams));
}

void* PeerReplayAllocator::allocate(std::size_t stream, std::size_t bytes) {
  void* const address = peer_.try_allocate(peer_.stream(static_cast<int>(stream)), std::max(bytes, kLeast));
  if (address == nullptr) {
    throw Error(ErrorCode::OutOfMemory, fmt::format("{} could not allocate them", peer_.name()));
  }
  return address;
}

void PeerReplayAllocator::release(std::size_t stream, void* address, std::size_t bytes) {
  peer_.release(peer_.stream(static_cast<int>(stream)), address, std::max(bytes, kLeast));
}

}  // namespace millrace::tool
