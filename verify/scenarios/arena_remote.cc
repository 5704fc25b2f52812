// An arena: what others have given back comes before new memory.
#include "memory/arena.h"
#include "tiny_memory.h"

namespace millrace::verify {
namespace {

using interleave::thread;

const Register before_growth("arena.remote_before_growth", "A2", [] {
  TinyMemory memory(1);
  Arena arena(0, ArenaUse::stream, memory.geometry, memory.heaps, memory.map, memory.streams);
  Block& first = TinyMemory::live(arena, TinyMemory::small(4));
  Block& second = TinyMemory::live(arena, TinyMemory::small(4));
  thread other([&] { TinyMemory::give_remote(arena, first); });
  other.join();
  BlockList blocks;
  arena.refill(TinyMemory::small(4), 1, blocks);
  Block* const again = blocks.pop();
  INTERLEAVE_EXPECT(again != nullptr);
  arena.give(*again);
  arena.give(second);
  INTERLEAVE_EXPECT(arena.release_empty() == kGranule);
});

}  // namespace
}  // namespace millrace::verify
