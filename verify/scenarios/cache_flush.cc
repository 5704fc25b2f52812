// A thread's cache by itself: a flush leaves nothing behind.
#include "at_once.h"
#include "memory/thread_cache.h"
#include "tiny_memory.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// A cache over a tiny arena that keeps what it frees for others until it is flushed.
struct OneCache : TinyMemory {
  OneCache() : TinyMemory(1) { patient.unsent_blocks = 4; }

  /// As Allocator::try_free does with a block of the kind that the cache takes.
  static Block& freed(Block& block) {
    block.word.store(BlockWord::make(BlockState::cached, generation(block) + 1), std::memory_order_relaxed);
    return block;
  }

  Geometry patient = tiny_geometry();
  CacheBudget budget{kMiB};
  Peaks peak{0};
  sync::Mutex totals_mutex;
  Totals retired;
  Arena arena{0, ArenaUse::stream, geometry, heaps, map, streams};
  ThreadCache cache{{patient, budget, 4 * kMiB, peak, totals_mutex, retired}, 1};
};

const Register unsent("cache.flush_of_unsent", "T1 A2 M1", [] {
  OneCache tiny;
  Block& block = TinyMemory::live(tiny.arena, TinyMemory::small());
  thread freer([&] {
    tiny.cache.send(OneCache::freed(block));
    tiny.cache.flush();
  });
  static_cast<void>(tiny.arena.collect_pending());
  freer.join();
  INTERLEAVE_EXPECT(tiny.cache.cached_bytes() == 0);
  INTERLEAVE_EXPECT(tiny.arena.release_empty() == kGranule);
});

const Register flushed("cache.flush_of_magazines", "T1 T2", [] {
  OneCache tiny;
  Block& block = TinyMemory::live(tiny.arena, TinyMemory::small());
  const std::uint8_t size_class = block.size_class;
  ArenaCache& own = tiny.cache.of(tiny.arena);
  tiny.cache.push(own, OneCache::freed(block));
  INTERLEAVE_EXPECT(tiny.cache.cached_bytes() == kUnit && !tiny.budget.try_take(1));
  thread flusher([&] { tiny.cache.flush(); });
  flusher.join();
  INTERLEAVE_EXPECT(tiny.cache.pop(own, size_class) == nullptr);
  INTERLEAVE_EXPECT(tiny.budget.try_take(kMiB));
  INTERLEAVE_EXPECT(tiny.arena.release_empty() == kGranule);
});

// Each thread frees a block that recorded work names: it is not handed out before that is submitted, and a
// flush gives it back all the same.
const Register parked("cache.two_park", "T1 T2 M1", [] {
  OneCache tiny;
  CacheBudget budget(2 * kMiB);
  ThreadCache other{{tiny.patient, budget, 4 * kMiB, tiny.peak, tiny.totals_mutex, tiny.retired, true}, 2};
  ThreadCache mine{{tiny.patient, budget, 4 * kMiB, tiny.peak, tiny.totals_mutex, tiny.retired, true}, 3};
  ThreadCache* const caches[] = {&mine, &other};
  Block* blocks[2] = {};
  for (Block*& block : blocks) {
    block = &TinyMemory::live(tiny.arena, TinyMemory::small());
    block->own_use.store(1, std::memory_order_relaxed);
  }
  const std::uint8_t size_class = blocks[0]->size_class;
  at_once([&](int me) {
    ArenaCache& own = caches[me]->of(tiny.arena);
    caches[me]->push(own, OneCache::freed(*blocks[me]));
    INTERLEAVE_EXPECT(caches[me]->pop(own, size_class) == nullptr);
    INTERLEAVE_EXPECT(caches[me]->cached_bytes() == kUnit);
  });
  mine.flush();
  other.flush();
  INTERLEAVE_EXPECT(mine.cached_bytes() == 0 && other.cached_bytes() == 0);
  INTERLEAVE_EXPECT(tiny.arena.release_empty() == kGranule);
});

}  // namespace
}  // namespace millrace::verify
