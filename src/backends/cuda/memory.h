// The device's memory: address space reserved first, memory mapped into it in chunks.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "backends/cuda/devices.h"
#include "backends/cuda/peers.h"
#include "device/status.h"
#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace::cuda {

/// A commit makes few chunks of physical memory, since each is dear (2 MiB costs half of what a gigabyte
/// does). But the driver unmaps whole chunks only, and one live block keeps all of its chunk: none is larger
/// than a part of the memory limit, or than a smaller part of what is committed.
///
/// Physical memory is made shareable and fit for RDMA where the device allows it, since neither can be added
/// to memory that is there.
///
/// Invariants (docs/concurrency.md):
///   K3  committed_bytes is the sum of all chunks, at every moment at which the mutex is free.
///
/// Thread safety: all members from any thread; calls for the same range one at a time. The driver is called
/// with no lock held, but for grant_access.
class Memory {
 public:
  static constexpr std::size_t kGranule = std::size_t{2} << 20;

  /// limit: what will be committed at most.
  Memory(const Properties& properties, std::size_t limit, std::string device);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// Once the context is there. Unsupported where the driver's unit does not divide ours.
  Status open(CUcontext context);

  Status reserve(std::size_t bytes, void** base) noexcept;
  void release(void* base, std::size_t bytes) noexcept;
  Status commit(void* address, std::size_t bytes) noexcept;
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept;
  void decommit(void* address, std::size_t bytes) noexcept;

  /// From here on the peer's work may touch all that is committed, now and later. Unsupported where it can't.
  Status grant_access(CUdevice peer) noexcept;
  /// What copies to and from other devices need.
  Peers& peers() const noexcept { return peers_; }

  /// Is the whole range committed memory of one reservation?
  bool contains(const void* address, std::size_t bytes) const noexcept;
  std::size_t committed_bytes() const noexcept;

  /// The context is lost, or the process is ending: from here on nothing is given back.
  void leak() noexcept;

 private:
  struct Chunk {
    std::size_t bytes = 0;
    CUmemGenericAllocationHandle handle = 0;
  };
  using Chunks = std::map<std::uintptr_t, Chunk>;  // by address

  Status refuse(ErrorCode code, const char* call, const void* address, std::size_t bytes,
                const std::string& why) const;
  Status failed(CUresult result, const std::string& call, const void* address, std::size_t bytes) const;
  /// Who may touch what is committed: the device itself, and peers that were granted it.
  std::vector<CUmemAccessDesc> accesses() const REQUIRES(mutex_);
  bool is_reserved(std::uintptr_t address, std::size_t bytes) const REQUIRES(mutex_);
  void give_back(std::uintptr_t address, const Chunk& chunk) const noexcept;
  /// Maps new memory to the range, in chunks of at most largest bytes; on failure what was mapped is still in
  /// chunks.
  CUresult map(std::uintptr_t address, std::size_t bytes, std::size_t largest, Chunks& chunks) const;

  const std::string device_;
  const std::size_t largest_chunk_;
  CUmemAllocationProp physical_{};
  CUcontext context_ = nullptr;
  mutable Peers peers_;
  mutable sync::Mutex mutex_;
  std::vector<CUdevice> granted_ GUARDED_BY(mutex_);                       // only grows
  std::map<std::uintptr_t, std::size_t> reservations_ GUARDED_BY(mutex_);  // by base: bytes
  Chunks chunks_ GUARDED_BY(mutex_);
  std::size_t committed_ GUARDED_BY(mutex_) = 0;
  bool leaked_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace::cuda
