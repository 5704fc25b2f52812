// Peers as shared objects: finding them, and what was found as something that is owned.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "peers/peer.h"

namespace millrace::tool {

/// What a peer could not do, by name.
class PeerFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A peer's name with its version, or with why it is not measured.
struct PeerNote {
  std::string name;
  std::string text;
};

struct PeerCatalog {
  std::vector<const millrace_peer*> peers;
  std::vector<PeerNote> absent;  ///< text: "absent: " and the reason
};

/// "peers" beside the program.
std::filesystem::path usual_peer_folder();

/// Opens the .so files of a folder and takes the peers for this kind of device, "host" or "cuda", in the
/// order of the files' names. One that does not open, or that was built with another interface, is absent,
/// and so is one of ours that is not there. They stay open: what they linked may have left hooks behind.
PeerCatalog open_peers(const std::filesystem::path& folder, const std::string& kind);

/// A peer's allocator with streams of its own, which stay until its end: caches are kept by stream.
///
/// Thread safety: one thread makes it, opens streams and ends it; enter first, then the rest from any thread.
class PeerAllocator {
 public:
  /// Throws PeerFailure with the peer's reason.
  PeerAllocator(const millrace_peer& peer, int device);
  PeerAllocator(const PeerAllocator&) = delete;
  PeerAllocator& operator=(const PeerAllocator&) = delete;
  ~PeerAllocator();

  std::string name() const { return peer_.name; }
  void enter() const { peer_.enter(self_); }

  /// At least this many. Throws PeerFailure.
  void open_streams(int count);
  void* stream(int number) const { return streams_[static_cast<std::size_t>(number)]; }

  /// Throws PeerFailure.
  void* allocate(void* stream, std::size_t bytes) const {
    void* const address = peer_.allocate(self_, stream, bytes);
    if (address == nullptr) refuse(bytes);
    return address;
  }
  void release(void* stream, void* address, std::size_t bytes) const {
    peer_.release(self_, stream, address, bytes);
  }
  void fill(void* stream, void* address, int value, std::size_t bytes) const {
    peer_.fill(self_, stream, address, value, bytes);
  }
  void record_use(void* stream, void* used_on, void* address) const {
    peer_.record_use(self_, stream, used_on, address);
  }

 private:
  [[noreturn]] void refuse(std::size_t bytes) const;

  const millrace_peer& peer_;
  void* self_ = nullptr;
  std::vector<void*> streams_;
};

}  // namespace millrace::tool
