// Private pools: memory of a device that is kept apart from the rest, for graphs and for whoever wants his
// own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <millrace/device.h>
#include <millrace/export.h>
#include <millrace/memory_segment.h>

namespace millrace {

/// Where a pool's segments come from instead of the device: memory that NCCL or a user has made, of the same
/// device.
///
/// Segments are the pool's alone, and no part of what Millrace has given somebody. One that does not begin at
/// a multiple of what the device commits is taken again with so much more, which counts towards nothing.
///
/// Thread safety: both members are called by any thread, several at once, while locks of the pool's memory
/// are held; they must not call Millrace. It is destroyed with no lock held, in whichever call finds that the
/// pool is gone, and must not close the device.
class MILLRACE_API SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  /// Null, or an exception whose text is told, where there is none.
  virtual void* allocate(std::size_t bytes) = 0;
  /// What allocate gave, and as many bytes.
  virtual void free(void* address, std::size_t bytes) noexcept = 0;
};

class MemoryPool;
namespace detail {
class PoolState;
}

/// What a pool is to do with its memory.
struct MemoryPoolOptions {
  /// Where the device is out of memory, an allocation outside of pools may take what is free in this one; it
  /// goes back to the pool when it is freed. Such a pool has no checkpoints. MemoryPool::set_use_on_oom
  /// changes it.
  bool use_on_oom = false;
  /// Each block is a segment of its own, in whole granules of the device, and is handed out again as a whole,
  /// to requests that it is enough for. For memory that is registered elsewhere segment by segment.
  /// Alignments beyond the granule are refused.
  bool no_split = false;
  /// Null: the device's own memory. Segments are whole (SegmentGrowth), and count towards the device's limit
  /// and figures. It is kept until the last of them has gone back.
  std::shared_ptr<SegmentSource> source = nullptr;
};

/// What there was in a pool: every block, whose it was and where. To be given to MemoryPool::restore, and to
/// be read.
struct PoolCheckpoint {
  std::uint64_t pool = 0;               ///< MemoryPool::number
  std::vector<MemorySegment> segments;  ///< by address; MemorySegment::stream is the blocks' stream
};

/// What MemoryPool::restore has changed. In no order.
struct PoolRestored {
  /// An allocation that is there now and was not before.
  struct Allocated {
    void* address = nullptr;
    std::size_t bytes = 0;  ///< as MemoryBlock::bytes
    int stream = -1;        ///< Stream::id of the stream that it is allocated for
  };
  /// Were allocations before, and are free now, or again allocations in `allocated` where only their sizes
  /// differ.
  std::vector<void*> freed;
  std::vector<Allocated> allocated;  ///< the caller's now: to be freed with Device::deallocate
};

/// Memory of a device that nobody gets who does not name the pool: segments of its own, by stream, that are
/// never mixed with those of other pools or of allocations that name none. Which allocations name it is the
/// caller's rule, by thread or by whatever predicate: the pool is an argument.
///
/// A handle is a number, as a Stream's is: copies mean the same pool and keep nothing. The pool lives from
/// create until it has no users and all its blocks are free. Users are counted by add_user and
/// drop_user: the captures, graphs or scopes that share it. While there is one, nothing of the pool is given
/// back or moved, since recorded work may name addresses that are free now. When there are none its memory
/// goes back to the device as soon as it is free and work recorded so far is done with it: what is free at
/// once by drop_user, the rest by the next trim (Device's or the pool's), create or drop_user of any
/// pool, and before anybody is told that the device is out of memory. Work that runs on streams which the
/// device does not know, launches of a graph that use the pool's memory, say, has to be waited for before the
/// last drop_user. Device::close ends all pools.
///
/// Blocks are freed by Device::deallocate, by any thread, and are reused inside of the pool in the order of
/// their stream, as others are. No thread caches them: an allocation or a free takes the lock of the pool's
/// memory for that stream, and no lock that other pools, other streams or allocations without a pool take.
/// Blocks that record_use or record_stream names are reused once those uses have ended, which every
/// allocation looks at before the pool grows; no wait is ever put into a stream for them, since the stream
/// may be one that is being captured.
///
/// Thread safety: any thread may call anything at any time, but who allocates or restores must be one of its
/// users meanwhile, or know one who stays. Errors of all calls: Closed, ForkedProcess; InvalidArgument for an
/// empty handle and for a pool that is gone; others where they are said.
class MILLRACE_API MemoryPool {
 public:
  /// An empty handle; its calls throw Closed, as an empty Device does.
  MemoryPool() = default;
  /// A pool of device memory, with one user: the caller. Throws std::bad_alloc.
  static MemoryPool create(const Device& device, const MemoryPoolOptions& options = {});

  bool valid() const noexcept { return number_ != 0; }
  /// Never another pool's of this process. 0: an empty handle.
  std::uint64_t number() const noexcept { return number_; }
  bool operator==(const MemoryPool& other) const noexcept { return number_ == other.number_; }

  /// Memory for use on the stream, usable there at once. Zero bytes give a unique address. Throws
  /// OutOfMemoryError, after the same procedure as others, which does not take memory out of another pool;
  /// InvalidArgument, also for a stream of another device; rule "stale-stream"; rule "pool-without-users";
  /// rule "captured-work" for a stream of Device::capture, whose memory is its graph's.
  void* allocate(Stream stream, std::size_t bytes, std::size_t alignment = kDefaultAlignment) const;

  /// One more. Rule "pool-without-users" where there is none.
  void add_user() const;
  /// One less; returns how many are left. With the last, memory goes back as above. Rule "pool-without-users"
  /// where there is none.
  std::uint64_t drop_user() const;
  /// 0 too for a pool that is gone.
  std::uint64_t users() const;

  void set_use_on_oom(bool use) const;

  /// Gives back what is free in a pool without users, as above, and in whole granules of blocks that are
  /// still allocated beside it; returns the bytes. 0 for one that has users or is gone.
  std::size_t trim() const;

  /// All memory of the pool, by address, as Device::memory_segments shows it. Empty for a pool that is gone.
  std::vector<MemorySegment> segments() const;

  /// The state of the pool's blocks. Exact only while nobody allocates from it or frees to it. Rule
  /// "pool-lends" for a pool that use_on_oom was ever set of.
  PoolCheckpoint checkpoint() const;
  /// Makes the pool's blocks what they were at the checkpoint: what is allocated now and was not then is
  /// freed; what was allocated then and is not now is allocated again, at the same address, with the same
  /// size and for the same stream. An allocation that is the same now and then is left as it is. Contents are
  /// not touched. Takes time in proportion to the number of blocks.
  ///
  /// It does all of it or nothing. InvalidArgument for another pool's checkpoint, or one that names memory
  /// that the pool no longer has. Rule "pool-in-use" where a block that would change hands is used by work
  /// that was not done yet: one that record_use or record_stream names for another stream, freed already or
  /// not, or recorded work of a wrapped stream that is not on it yet; and where another thread allocates or
  /// frees it meanwhile. Wait for that work, and call again. Rule "pool-lends" as for checkpoint; rule
  /// "pool-without-users". Throws std::bad_alloc before anything was changed.
  PoolRestored restore(const PoolCheckpoint& checkpoint) const;

 private:
  friend struct detail::Access;
  MemoryPool(std::uint64_t device, detail::PoolState* state, std::uint64_t number)
      : device_(device), state_(state), number_(number) {}
  std::uint64_t device_ = 0;
  detail::PoolState* state_ =
      nullptr;  // lives as long as the device is open; another pool's, too, once this is gone
  std::uint64_t number_ = 0;
};

}  // namespace millrace
