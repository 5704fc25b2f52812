// The device's memory where the driver can map it: address space reserved first, memory in it in chunks.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "backends/cuda/memory.h"
#include "device/status.h"
#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace::cuda {

/// A commit makes few chunks of physical memory, since each takes some 70 us, whether of 2 MiB or of 64. But
/// the driver maps and unmaps whole chunks only, and one live block keeps all of its chunk: none is larger
/// than a part of the memory limit, or than a smaller part of what is committed.
///
/// Physical memory is made shareable and fit for RDMA where the device allows it, since neither can be added
/// to memory that is there.
///
/// Thread safety: as Memory. The driver is called with no lock held, but for grant_access.
class MappedMemory final : public Memory {
 public:
  static constexpr std::size_t kGranule = std::size_t{2} << 20;

  /// limit: what will be committed at most.
  MappedMemory(const Properties& properties, std::size_t limit, std::string device);
  ~MappedMemory() override;

  Status open(CUcontext context) override;

  std::size_t granule() const noexcept override { return kGranule; }
  Status reserve(std::size_t bytes, void** base) noexcept override;
  void release(void* base, std::size_t bytes) noexcept override;
  Status commit(void* address, std::size_t bytes) noexcept override { return commit(address, bytes, kUsual); }
  Status commit_lasting(void* address, std::size_t bytes) noexcept override {
    return commit(address, bytes, kLasting);
  }
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override;
  void decommit(void* address, std::size_t bytes) noexcept override;
  Moved move(std::span<std::byte> range, void* to, std::size_t wanted, std::size_t room) noexcept override;

  Status grant_access(CUdevice peer) noexcept override;
  bool contains(const void* address, std::size_t bytes) const noexcept override;
  std::size_t committed_bytes() const noexcept override;
  void leak() noexcept override;

 private:
  /// The chunks of one commit have so many bytes at least where it has as many, and are so many at most where
  /// it is large.
  struct Cut {
    std::size_t least;
    std::size_t chunks;
  };
  static constexpr Cut kUsual{std::size_t{4} << 20, 16}, kLasting{std::size_t{16} << 20, 4};

  struct Chunk {
    std::size_t bytes = 0;
    CUmemGenericAllocationHandle handle = 0;
  };
  using Chunks = std::map<std::uintptr_t, Chunk>;  // by address

  /// Who may touch what is committed: the device itself, and peers that were granted it.
  std::vector<CUmemAccessDesc> accesses() const REQUIRES(mutex_);
  bool is_reserved(std::uintptr_t address, std::size_t bytes) const REQUIRES(mutex_);
  void give_back(std::uintptr_t address, const Chunk& chunk) const noexcept;
  Status commit(void* address, std::size_t bytes, const Cut& cut) noexcept;
  /// Maps new memory to the range, in chunks of at most largest bytes; on failure what was mapped is still in
  /// chunks.
  CUresult map(std::uintptr_t address, std::size_t bytes, std::size_t largest, Chunks& chunks) const;
  /// Makes mapped chunks, which follow each other, memory of ours that may be touched. Throws std::bad_alloc;
  /// after a failure they are as they were.
  CUresult admit(std::uintptr_t address, std::size_t bytes, Chunks& chunks) EXCLUDES(mutex_);

  const std::size_t largest_chunk_;
  const CUmemAllocationProp physical_;
  mutable sync::Mutex mutex_;
  std::vector<CUdevice> granted_ GUARDED_BY(mutex_);                       // only grows
  std::map<std::uintptr_t, std::size_t> reservations_ GUARDED_BY(mutex_);  // by base: bytes
  Chunks chunks_ GUARDED_BY(mutex_);
  std::size_t committed_ GUARDED_BY(mutex_) = 0;
  bool leaked_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace::cuda
