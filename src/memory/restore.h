// What an arena's blocks are to be again, and what has to change for that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "memory/block.h"

namespace millrace {

/// The restoring of one arena to a checkpoint of its pool (N3).
///
/// Thread safety: one thread.
struct ArenaRestore {
  struct Wanted {
    std::byte* address = nullptr;
    std::size_t bytes = 0;
    bool large = false;
    bool kept = false;  ///< is live already, just so
  };
  struct Claimed {
    Block* block = nullptr;
    std::uint64_t word = 0;  ///< that it had
  };
  struct Freed {
    std::byte* address = nullptr;
    std::size_t bytes = 0;
    bool large = false;
  };

  Arena* arena = nullptr;
  std::vector<Wanted> wanted;  ///< blocks that were live, by address; no two overlap
  std::vector<Claimed>
      claimed;               ///< blocks that are live now and were not, in state moving until they are free
  std::vector<Freed> freed;  ///< what these were
  std::vector<Block*> allocated;  ///< in state moving: to be handed out

  /// Makes the claimed blocks live again. Under the arena's mutex.
  void give_up() noexcept {
    // release: as ThreadCache::hand_out; nobody else changes a block that is moving.
    for (const Claimed& each : claimed) each.block->word.store(each.word, std::memory_order_release);
    claimed.clear();
  }
};

}  // namespace millrace
