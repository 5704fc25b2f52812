// A peer as what a replay drives.
#pragma once

#include "bench/peer_library.h"
#include "replay/allocator.h"

namespace millrace::tool {

/// A peer's allocator of its own, which takes nothing from the device before the replay asks for it, as far
/// as it can be had like that. It has a stream for each of the log's.
class PeerReplayAllocator final : public ReplayAllocator {
 public:
  /// Throws PeerFailure.
  PeerReplayAllocator(const millrace_peer& peer, int device, std::size_t streams);

  void enter() override { peer_.enter(); }
  void* allocate(std::size_t stream, std::size_t bytes) override;
  void release(std::size_t stream, void* address, std::size_t bytes) override;
  void check() const { peer_.check(); }  ///< throws PeerFailure
  std::uint64_t peak_committed() const override { return peer_.peak_committed(); }

 private:
  PeerAllocator peer_;
};

}  // namespace millrace::tool
