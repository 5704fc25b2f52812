// One arena, one limit, one map, that two threads use in the same way.
#include "at_once.h"
#include "memory/arena.h"
#include "memory/peak.h"
#include "tiny_memory.h"

namespace millrace::verify {
namespace {

struct SharedArena : TinyMemory {
  SharedArena() : TinyMemory(1) {}
  Arena arena{0, ArenaUse::stream, geometry, heaps, map, streams};
};

/// Whatever has been submitted is not done.
struct BusyStreams final : ArenaHost {
  Timeline idle;
  const Timeline& timeline(int) const noexcept override { return idle; }
  bool reached(const TimelinePoint&) noexcept override { return false; }
  bool ended(const TimelinePoint&) const noexcept override { return false; }
  void hide(const Block&) noexcept override {}
};

// Two caches are filled from one arena: a block is in one of them.
const Register two_refill("arena.two_refill", "A2 T2", [] {
  SharedArena tiny;
  tiny.arena.give(TinyMemory::live(tiny.arena, TinyMemory::small(4)));
  BlockList taken[2];
  at_once([&](int me) { tiny.arena.refill(TinyMemory::small(4), 1, taken[me]); });
  INTERLEAVE_EXPECT(taken[0].count == 1 && taken[1].count == 1 && taken[0].first != taken[1].first);
  for (BlockList& list : taken) tiny.arena.give(*list.pop());
});

// What waits for another stream's work is claimed by one of two, who may put it back for the other.
const Register two_claim("arena.two_claim_what_is_pending", "A1", [] {
  TinyMemory memory(1);
  BusyStreams streams;
  Arena arena(0, ArenaUse::stream, memory.geometry, memory.heaps, memory.map, streams);
  Block& block = TinyMemory::live(arena, TinyMemory::small(4));
  const std::uint64_t generation = TinyMemory::generation(block);
  INTERLEAVE_EXPECT(arena.add_use(block, generation, {.point = {1, 0}}));
  INTERLEAVE_EXPECT(arena.free_used(block, generation, Uncovered::keep, OwnEnd::none));
  int claimed = 0;
  at_once([&](int) {
    Block* const mine = arena.claim_pending(TinyMemory::small(4));
    if (mine == nullptr) return;
    INTERLEAVE_EXPECT(mine == &block);
    ++claimed;  // nobody else has it
    arena.put_back_pending(*mine);
  });
  INTERLEAVE_EXPECT(claimed >= 1 && arena.pending_bytes() == 4 * kUnit);
});

// The memory of a graph that two find dropped is given back once.
const Register two_release("arena.two_release_all", "A3 M2", [] {
  TinyMemory memory(1);
  Arena arena(0, ArenaUse::graph, memory.geometry, memory.heaps, memory.map, memory.streams);
  arena.give(TinyMemory::live(arena, TinyMemory::small(4)));
  at_once([&](int) { INTERLEAVE_EXPECT(arena.release_all()); });
  INTERLEAVE_EXPECT(memory.source.committed() == 0 && memory.limit.committed() == 0);
});

// Arenas that end at once give back what each has.
const Register two_end("arena.two_end", "M1 M2", [] {
  TinyMemory memory(2);
  auto one =
      std::make_unique<Arena>(0, ArenaUse::stream, memory.geometry, memory.heaps, memory.map, memory.streams);
  auto two =
      std::make_unique<Arena>(1, ArenaUse::stream, memory.geometry, memory.heaps, memory.map, memory.streams);
  for (Arena* arena : {one.get(), two.get()}) arena->give(TinyMemory::live(*arena, TinyMemory::large()));
  at_once([&](int me) { (me == 0 ? one : two).reset(); });
  INTERLEAVE_EXPECT(memory.source.committed() == 0 && memory.limit.committed() == 0);
  INTERLEAVE_EXPECT(memory.heaps.released.load(std::memory_order_relaxed) == 2);
});

const Register two_limits("limit.two_set", "M2", [] {
  Limit limit(4);
  INTERLEAVE_EXPECT(limit.try_reserve(2));
  at_once([&](int me) {
    INTERLEAVE_EXPECT(limit.try_set(me == 0 ? 3 : 2));
    limit.reset_peak();
  });
  INTERLEAVE_EXPECT(limit.limit() == 2 || limit.limit() == 3);
  INTERLEAVE_EXPECT(limit.committed() == 2 && limit.peak() == 2);
});

const Register two_peaks("counters.two_reset_the_peak", "M1", [] {
  Peaks peak(0);
  at_once([&](int) {
    PeakShare mine;
    mine.on_allocate(peak, 2);
    mine.on_free(peak, 2, false, true);
    mine.publish(peak);
    peak.on_unused({2, 1}, {});
    peak.reset();
  });
  INTERLEAVE_EXPECT(peak.value().live.bytes <= 4 && peak.value().active.bytes <= 4);
  peak.reset();
  INTERLEAVE_EXPECT(peak.live_bytes() == 0 && peak.value().active.blocks == 0);
});

// Blocks over several granules are found from any of them, by whoever placed one and by the other.
const Register two_span("page_map.two_blocks_over_granules", "P1", [] {
  const Geometry geometry = tiny_geometry();
  constexpr std::uintptr_t kBase = 4 * kGranule;
  PageMap map(geometry);
  map.add_granules(kBase, 4 * kGranule, kUnit);
  Block blocks[2];
  at_once([&](int me) {
    const std::uintptr_t mine = kBase + static_cast<std::uintptr_t>(me) * 2 * kGranule;
    blocks[me].size = 2 * kGranule;
    blocks[me].address.store(mine, std::memory_order_release);  // release: as Space's
    map.set_block(blocks[me]);
    TinyMemory::make_live(blocks[me]);
    INTERLEAVE_EXPECT(map.find_containing(mine + kGranule + kUnit) == &blocks[me]);
    const Block* const other =
        map.find_containing(kBase + static_cast<std::uintptr_t>(1 - me) * 2 * kGranule + kUnit);
    INTERLEAVE_EXPECT(other == nullptr || other == &blocks[1 - me]);
  });
});

}  // namespace
}  // namespace millrace::verify
