// Peers as shared objects: finding them, and what was found as something that is owned.
#pragma once

#include <cstdint>
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

/// The folder that --peers names; where it names none, "peers" beside the program. Throws UsageError for what
/// is no folder.
std::filesystem::path peer_folder(const std::string& option);

/// A device's name in two: "cuda" and 1 of "cuda:1".
struct DeviceName {
  std::string kind;
  int number = 0;
};
DeviceName split_device_name(const std::string& name);

/// Opens the .so files of a folder and takes the peers for this kind of device, "host" or "cuda", in the
/// order of the files' names. One that does not open, or that was built with another interface, is absent,
/// and so is one of ours that is not there. They stay open: what they linked may have left hooks behind.
PeerCatalog open_peers(const std::filesystem::path& folder, const std::string& kind);

/// A peer's allocator with streams of its own, which stay until its end: caches are kept by stream.
///
/// Thread safety: one thread makes it, opens streams and ends it; enter first, then the rest from any thread.
class PeerAllocator {
 public:
  /// initial_bytes: for those that are given memory at their start; 0: as little as they can have. Throws
  /// PeerFailure with the peer's reason.
  PeerAllocator(const millrace_peer& peer, int device, std::uint64_t initial_bytes);
  PeerAllocator(const PeerAllocator&) = delete;
  PeerAllocator& operator=(const PeerAllocator&) = delete;
  ~PeerAllocator();

  std::string name() const { return peer_.name; }
  void enter() const { peer_.enter(self_); }

  /// At least this many. Throws PeerFailure.
  void open_streams(int count);
  void* stream(int number) const { return streams_[static_cast<std::size_t>(number)]; }

  /// Null where it fails.
  void* try_allocate(void* stream, std::size_t bytes) const { return peer_.allocate(self_, stream, bytes); }
  /// Throws PeerFailure.
  void* allocate(void* stream, std::size_t bytes) const {
    void* const address = try_allocate(stream, bytes);
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
  /// Throws PeerFailure if a call has failed that could not say so.
  void check() const {
    if (const char* const fault = peer_.fault(self_)) throw PeerFailure(fault);
  }
  /// Bytes; while no other thread is in a call.
  std::uint64_t peak_committed() const { return peer_.peak_committed(self_); }

 private:
  [[noreturn]] void refuse(std::size_t bytes) const;

  const millrace_peer& peer_;
  void* self_ = nullptr;
  std::vector<void*> streams_;
};

}  // namespace millrace::tool
