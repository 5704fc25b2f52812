// The heap of a run: each thread allocates at the same addresses in each run, and what is freed is
// remembered.
#pragma once

#include <cstddef>
#include <cstdint>

#include "interleave/where.h"

namespace interleave {

/// One arena a thread. Freed memory is overwritten and not used again in the run, unless a run chooses to.
///
/// Thread safety: one thread.
class Memory {
 public:
  enum class Tag : std::uint8_t { unused = 0, live, live_begin, freed, freed_begin };

  /// Stands before each block.
  struct Block {
    std::size_t bytes;
    Where allocated_at, freed_at;
    std::uint8_t maker;
    std::uint8_t freer;
    bool live;
  };

  /// Takes the one range of addresses that runs have in the process.
  Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void start_run() noexcept;
  /// Null when the thread's arena is used up, or would be to the half by this. alignment is a power of two.
  void* allocate(int thread, std::size_t bytes, std::size_t alignment, Where where) noexcept;
  /// A freed block of this size, the index-th one, is allocated again.
  void* reuse(std::size_t bytes, int index, int thread, Where where) noexcept;
  int reusable(std::size_t bytes) const noexcept;
  void release(Block& block, int thread, Where where) noexcept;

  bool owns(const void* address) const noexcept {
    return reinterpret_cast<std::uintptr_t>(address) - begin_ < kArena * kArenas;
  }
  Tag tag(const void* address) const noexcept { return tags_[granule(address)]; }
  /// The block that holds an address of ours; null between blocks.
  Block* find(const void* address) const noexcept;
  static void* data(const Block& block) noexcept {
    return reinterpret_cast<std::byte*>(const_cast<Block*>(&block)) + kHeader;
  }
  /// The block whose data begins at the address.
  Block* starting_at(const void* address) const noexcept;

  /// Whether this run has not given the memory, but an earlier one of the same check may have.
  bool of_earlier_run(const void* address) const noexcept;
  /// Whether it is memory of some run, over or not.
  static bool of_any_run(const void* address) noexcept;
  /// The bytes of the block that begins there.
  static std::size_t size_of(const void* address) noexcept;

  std::size_t live() const noexcept { return live_; }
  /// A block that is live; null if there is none.
  Block* any_live() const noexcept;

 private:
  static constexpr std::size_t kGranule = 16;
  static constexpr std::size_t kHeader = 48;
  static constexpr std::size_t kArena = std::size_t{64} << 20;
  static constexpr std::size_t kArenas = 32;
  static constexpr int kReusable = 64;

  std::size_t granule(const void* address) const noexcept {
    return (reinterpret_cast<std::uintptr_t>(address) - begin_) / kGranule;
  }
  void mark(const void* data, std::size_t bytes, Tag begin, Tag rest) noexcept;

  std::uintptr_t begin_;
  Tag* tags_ = nullptr;
  std::size_t used_[kArenas];
  std::size_t most_used_[kArenas] = {};  // by any run
  bool allocated_ = false;               // something, in this run
  std::size_t live_ = 0;
  Block* freed_[kReusable] = {};
  int freed_count_ = 0;
};

}  // namespace interleave
