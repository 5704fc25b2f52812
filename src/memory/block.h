// The bookkeeping of one range of device memory. It is in host memory, never in the range.
#pragma once

#include <boost/intrusive/set_hook.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <millrace/memory_kind.h>

#include "device/backend.h"
#include "memory/peak.h"
#include "sync/atomic.h"

namespace millrace {

class Arena;
class Space;
struct Heap;

/// Whose hands a block is in. What each state's bytes count as is in docs/concurrency.md (M1).
enum class BlockState : std::uint8_t {
  unused,   ///< a descriptor without a range
  hole,     ///< address space without memory
  free,     ///< in its space's free ranges
  binned,   ///< free and unmerged, in its arena's bins
  cached,   ///< free, in a thread's cache
  unsent,   ///< freed by a thread of another arena, not yet handed over
  remote,   ///< handed over, not yet taken in
  pending,  ///< freed, but other streams may still use it
  moving,   ///< between two of these, under its arena's mutex or in one thread's hands
  live,     ///< a caller has it
};

/// A block's state, marks and generation: one word, since they are checked and changed together.
struct BlockWord {
  static constexpr std::uint64_t kStateMask = 0xf;
  static constexpr std::uint64_t kHasUses = 1u << 4;  ///< on other streams: its free takes the arena's mutex
  static constexpr std::uint64_t kDiscarded = 1u << 5;  ///< make_discardable; its contents may go
  static constexpr std::uint64_t kMarks = kHasUses | kDiscarded;
  static constexpr int kGenerationShift = 8;

  static constexpr BlockState state(std::uint64_t word) noexcept {
    return static_cast<BlockState>(word & kStateMask);
  }
  static constexpr std::uint64_t generation(std::uint64_t word) noexcept { return word >> kGenerationShift; }
  static constexpr std::uint64_t make(BlockState state, std::uint64_t generation) noexcept {
    return generation << kGenerationShift | static_cast<std::uint64_t>(state);
  }
};

/// A use on another stream than the arena's.
struct BlockUse {
  /// No value reaches it: a use by captured work, which ends with the graph that the memory belongs to (A3).
  static constexpr std::uint64_t kWithGraph = ~std::uint64_t{0};

  TimelinePoint point;      ///< for record_stream: the point is filled in at the free
  bool until_free = false;  ///< record_stream
  bool declared = false;    ///< by recorded work alone: no record_use covers it
  bool checked = false;     ///< freed without one in protect mode (A5); the block's next life has it too
};

/// What becomes of uses that no record_use covers, when the block is freed.
enum class Uncovered : std::uint8_t {
  refuse,  ///< rule "freed-while-in-use"
  keep,    ///< the block waits for them, as it does for others
  check,   ///< they become the backend's to check (A5)
};

/// What a freed block waits for on its arena's own stream, too.
enum class OwnEnd : std::uint8_t {
  none,
  recorded,  ///< the newest segment
  covering,  ///< all that is on it at the free
  graph,     ///< the graph that the memory belongs to (A3)
};

/// Descriptors are recycled but not freed while their arena lives, so one found through the page map
/// can be looked at, whatever has become of it; word tells whether it is still what was meant.
///
/// Thread safety: the atomics from any thread. The rest belongs to whoever has the block (the
/// caller of a live one has none of it): its arena's mutex, or the thread that moved word away from
/// live.
struct alignas(sync::kCacheLine) Block {
  static constexpr std::size_t kMuchSlack = 0xffff;

  // The fast path's line, and the only one that moves between a thread that allocates and one that frees.
  sync::atomic<std::uintptr_t> address{0};
  sync::atomic<std::uint64_t> word{0};
  Arena* arena = nullptr;  ///< never changes
  std::size_t size = 0;
  Block* next = nullptr;                   ///< in whatever list has it
  std::uint64_t free_value = 0;            ///< on the arena's timeline: work up to it may use the range
  sync::atomic<std::uint64_t> own_use{0};  ///< newest recorded use on the arena's own timeline
  sync::atomic<std::uint32_t> thread{0};   ///< who allocated it last, modulo 2^32: for reports
  sync::atomic<std::uint16_t> slack{0};    ///< live: bytes of size that were not asked for, or kMuchSlack
  std::uint8_t size_class = 0;             ///< small blocks
  bool large = false;                      ///< which of the arena's spaces it is from
  // Bookkeeping.
  boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>
      range;  ///< FreeRanges
  Heap* heap = nullptr;
  Block* left = nullptr;  ///< neighbours by address in the heap
  Block* right = nullptr;
  std::vector<BlockUse> uses;                 ///< guarded by the arena's mutex while live
  MemoryKind kind = MemoryKind::device;       ///< the arena's; never changes
  sync::atomic<std::uint32_t> much_slack{0};  ///< where that is kMuchSlack
  std::uint64_t own_end = 0;            ///< pending: what the arena's own timeline has to reach; 0: nothing
  sync::atomic<std::size_t> extent{0};  ///< size when it was last handed out, for look-ups without a lock

  std::byte* data() const noexcept {
    // relaxed: who has the block was handed it by something that ordered this.
    return reinterpret_cast<std::byte*>(address.load(std::memory_order_relaxed));
  }
  /// For whoever has the block: keeps the generation, drops the marks.
  void set_state(BlockState state) noexcept {
    // relaxed: handing the block on is what publishes it (a list, a mutex, or the caller's own code);
    // others only compare the word with what they expect.
    word.store(BlockWord::make(state, BlockWord::generation(word.load(std::memory_order_relaxed))),
               std::memory_order_relaxed);
  }
  /// How many bytes of a block that is about to be live were not asked for: less than 4 GiB, for reports.
  void set_unasked(std::size_t bytes) noexcept {
    // relaxed both: as thread.
    if (bytes >= kMuchSlack) [[unlikely]]
      much_slack.store(static_cast<std::uint32_t>(bytes), std::memory_order_relaxed);
    slack.store(static_cast<std::uint16_t>(std::min<std::size_t>(bytes, kMuchSlack)),
                std::memory_order_relaxed);
  }
  std::size_t unasked() const noexcept {
    const std::size_t bytes = slack.load(std::memory_order_relaxed);
    return bytes < kMuchSlack ? bytes : much_slack.load(std::memory_order_relaxed);
  }
  Amount amount() const noexcept { return {static_cast<std::int64_t>(size), 1}; }
  BlockState state() const noexcept { return BlockWord::state(word.load(std::memory_order_relaxed)); }
};

static_assert(!sync::kIsLaidOut || offsetof(Block, range) == sync::kCacheLine,
              "the fast path's fields are one line");

/// Blocks linked through next.
struct BlockList {
  Block* first = nullptr;
  Block* last = nullptr;
  int count = 0;
  std::size_t bytes = 0;

  bool empty() const noexcept { return first == nullptr; }
  void push(Block* block) noexcept {
    block->next = first;
    first = block;
    if (last == nullptr) last = block;
    ++count;
    bytes += block->size;
  }
  Block* pop() noexcept {
    Block* block = first;
    if (block == nullptr) return nullptr;
    first = block->next;
    if (first == nullptr) last = nullptr;
    --count;
    bytes -= block->size;
    return block;
  }
};

}  // namespace millrace
