// An arena: what its stream's threads take and give, and what others give it.
#include "memory/arena.h"

#include "tiny_memory.h"

namespace millrace::verify {
namespace {

using interleave::thread;

struct OneArena : TinyMemory {
  explicit OneArena(std::size_t granules = 1) : TinyMemory(granules) {}
  Arena arena{0, ArenaUse::stream, geometry, heaps, map, streams};

  /// A2, M1: everything is free, once, and can be given back.
  void expect_all_free() {
    // Takes in what others gave, and puts it together.
    if (Block* const whole = arena.take(large(), false)) arena.give(*whole);
    if (Block* const whole = arena.take(small(8), false)) arena.give(*whole);
    const std::size_t committed = source.committed();
    INTERLEAVE_EXPECT(arena.release_empty() == committed);
    INTERLEAVE_EXPECT(source.committed() == 0 && limit.committed() == 0);
  }
};

const Register remote_free("arena.remote_free_against_refill", "A2 L1 L2 M1", [] {
  OneArena tiny;
  Block& first = TinyMemory::live(tiny.arena, TinyMemory::small(4));
  Block& second = TinyMemory::live(tiny.arena, TinyMemory::small(4));
  thread other([&] { TinyMemory::give_remote(tiny.arena, first); });
  BlockList blocks;
  tiny.arena.refill(TinyMemory::small(4), 1, blocks);
  // There was no room but in the block that the other thread frees.
  INTERLEAVE_EXPECT(blocks.empty() || blocks.first->data() == first.data());
  if (!blocks.empty()) TinyMemory::make_live(*blocks.first);
  other.join();
  tiny.arena.give(second);
  if (Block* const block = blocks.pop()) tiny.arena.give(*block);
  tiny.expect_all_free();
});

const Register two_remote("arena.two_remote_frees", "A2 L1 L2 M1", [] {
  OneArena tiny;
  Block& first = TinyMemory::live(tiny.arena, TinyMemory::small(4));
  Block& second = TinyMemory::live(tiny.arena, TinyMemory::small(4));
  thread one([&] { TinyMemory::give_remote(tiny.arena, first); });
  thread two([&] { TinyMemory::give_remote(tiny.arena, second); });
  Block* const whole = tiny.arena.take(TinyMemory::small(4), false);
  one.join();
  two.join();
  if (whole != nullptr) tiny.arena.give(*whole);
  tiny.expect_all_free();
});

const Register two_growers("arena.two_growers_at_the_limit", "M2", [] {
  TinyMemory memory(1);
  Arena one(0, ArenaUse::stream, memory.geometry, memory.heaps, memory.map, memory.streams);
  Arena two(1, ArenaUse::stream, memory.geometry, memory.heaps, memory.map, memory.streams);
  bool grown[2] = {};
  thread other([&] { grown[1] = two.grow(TinyMemory::large()).ok(); });
  grown[0] = one.grow(TinyMemory::large()).ok();
  other.join();
  INTERLEAVE_EXPECT(grown[0] != grown[1]);
  INTERLEAVE_EXPECT(memory.source.committed() == kGranule && memory.limit.committed() == kGranule);
});

const Register trim("arena.trim_against_give", "M1 M2", [] {
  OneArena tiny;
  Block& block = TinyMemory::live(tiny.arena, TinyMemory::large());
  thread owner([&] { tiny.arena.give(block); });
  const std::size_t released = tiny.arena.release_empty();
  owner.join();
  INTERLEAVE_EXPECT(released == 0 || released == kGranule);
  INTERLEAVE_EXPECT(released + tiny.arena.release_empty() == kGranule);
  INTERLEAVE_EXPECT(tiny.source.committed() == 0);
});

const Register trim_remote("arena.trim_against_remote_free", "A2 M1", [] {
  OneArena tiny;
  Block& block = TinyMemory::live(tiny.arena, TinyMemory::large());
  thread other([&] { TinyMemory::give_remote(tiny.arena, block); });
  thread trimmer([&] { tiny.arena.release_empty(); });
  other.join();
  trimmer.join();
  tiny.expect_all_free();
});

// A use that is recorded while the block is freed and handed out anew belongs to neither (ABA with
// generations).
const Register use_against_free("arena.use_against_free_and_reuse", "A1 M6", [] {
  OneArena tiny;
  Block& block = TinyMemory::live(tiny.arena, TinyMemory::small(4));
  const std::uint64_t generation = TinyMemory::generation(block);
  bool recorded = false;
  thread user([&] {
    recorded =
        tiny.arena.add_use(block, generation, {.point = {1, 1}, .until_free = false, .declared = false});
  });
  const bool freed = tiny.arena.free_used(block, generation, Uncovered::keep, OwnEnd::none);
  INTERLEAVE_EXPECT(freed);
  Block* const again = tiny.arena.take(TinyMemory::small(4), false);
  if (again == &block) {
    // Handed out at once: no use of it may be known.
    TinyMemory::make_live(*again);
    INTERLEAVE_EXPECT(TinyMemory::generation(*again) == generation + 1);
  }
  user.join();
  if (recorded) {
    INTERLEAVE_EXPECT(again != &block);  // stream 1 has not reached the use
    INTERLEAVE_EXPECT(tiny.arena.pending_bytes() == 4 * kUnit);
  } else {
    INTERLEAVE_EXPECT(again == &block);
    INTERLEAVE_EXPECT(tiny.arena.pending_bytes() == 0);
  }
});

const Register two_frees("arena.two_frees_of_a_used_block", "M6", [] {
  OneArena tiny;
  Block& block = TinyMemory::live(tiny.arena, TinyMemory::small(4));
  const std::uint64_t generation = TinyMemory::generation(block);
  INTERLEAVE_EXPECT(
      tiny.arena.add_use(block, generation, {.point = {1, 1}, .until_free = false, .declared = false}));
  bool freed = false;
  thread other([&] { freed = tiny.arena.free_used(block, generation, Uncovered::keep, OwnEnd::none); });
  const bool mine = tiny.arena.free_used(block, generation, Uncovered::keep, OwnEnd::none);
  other.join();
  INTERLEAVE_EXPECT(mine != freed);
  INTERLEAVE_EXPECT(tiny.arena.pending_bytes() == 4 * kUnit);
});

}  // namespace
}  // namespace millrace::verify
