// The page map: look-ups beside new blocks, new ranges, and blocks that become others.
#include "memory/page_map.h"

#include <memory>

#include "tiny_memory.h"

namespace millrace::verify {
namespace {

using interleave::thread;

constexpr std::uintptr_t kBase = 4 * kGranule;

void place(Block& block, std::uintptr_t address, std::size_t size) {
  block.size = size;
  block.address.store(address, std::memory_order_release);  // release: as Space's
}

// In a range that was there before: only the entry itself leads to the descriptor.
const Register new_descriptor("page_map.new_descriptor", "P1", [] {
  const Geometry geometry = tiny_geometry();
  PageMap map(geometry);
  map.add_granules(kBase, kGranule, kUnit);
  thread finder([&] {
    const Block* const block = map.find(kBase + kUnit);
    if (block != nullptr) INTERLEAVE_EXPECT(block->data() == reinterpret_cast<std::byte*>(kBase + kUnit));
  });
  const auto block = std::make_unique<Block>();
  place(*block, kBase + kUnit, kUnit);
  map.set_block(*block);
  finder.join();
});

const Register two_add("page_map.two_add", "P1", [] {
  const Geometry geometry = tiny_geometry();
  PageMap map(geometry);
  thread other([&] { map.add_granules(kBase + kGranule, kGranule, kUnit); });
  map.add_granules(kBase, kGranule, kUnit);
  other.join();
  INTERLEAVE_EXPECT(map.covers(kBase) && map.covers(kBase + kGranule) && !map.covers(kBase + 2 * kGranule));
});

// A descriptor that becomes another block while it is looked at: the beginning of the one with the size of
// the other is neither.
const Register containing("page_map.containing_against_reuse", "M6 P1", [] {
  const Geometry geometry = tiny_geometry();
  PageMap map(geometry);
  map.add_granules(kBase, kGranule, kUnit);
  Block block;
  place(block, kBase, kUnit);
  map.set_block(block);
  TinyMemory::make_live(block);
  thread reuser([&] {
    // As Allocator::deallocate, BlockPool, Space and ThreadCache do one after the other.
    block.word.store(BlockWord::make(BlockState::moving, 1), std::memory_order_relaxed);
    place(block, kBase + 4 * kUnit, 4 * kUnit);
    map.set_block(block);
    TinyMemory::make_live(block);
  });
  INTERLEAVE_EXPECT(map.find_containing(kBase + 2 * kUnit) == nullptr);
  reuser.join();
  INTERLEAVE_EXPECT(map.find_containing(kBase + 5 * kUnit) == &block);
});

// The same by way of an arena: the descriptor of units 2 to 5 becomes that of unit 4.
const Register merged("page_map.containing_against_merge", "M6 P1", [] {
  TinyMemory memory(1);
  Arena arena(0, ArenaUse::graph, memory.geometry, memory.heaps, memory.map, memory.streams);
  const auto free = [&](Block& block) {
    // As Allocator::try_free.
    block.word.store(BlockWord::make(BlockState::moving, TinyMemory::generation(block) + 1),
                     std::memory_order_relaxed);
    arena.give(block);
  };
  Block& first = TinyMemory::live(arena, TinyMemory::small(2));
  Block& second = TinyMemory::live(arena, TinyMemory::small(4));
  const auto base = reinterpret_cast<std::uintptr_t>(first.data());
  free(first);
  thread reuser([&] {
    free(second);
    static_cast<void>(TinyMemory::live(arena, TinyMemory::small(4)));
    Block& again = TinyMemory::live(arena, TinyMemory::small(1));
    INTERLEAVE_EXPECT(&again == &second && again.data() == reinterpret_cast<std::byte*>(base + 4 * kUnit));
  });
  INTERLEAVE_EXPECT(memory.map.find_containing(base + 7 * kUnit) == nullptr);
  reuser.join();
});

// The same by way of a heap that is reserved where the end of the one before it was: the descriptor of the
// units 0 to 11 there becomes that of 8 to 23, which is no block of anybody's.
const Register new_heap("page_map.containing_against_a_new_heap", "M6 P1", [] {
  Geometry geometry = tiny_geometry();
  geometry.large_unit = kUnit;
  geometry.heap_bytes = 2 * kGranule;
  TinyMemory memory(2, geometry, kGranule);
  Arena arena(0, ArenaUse::graph, memory.geometry, memory.heaps, memory.map, memory.streams);
  BlockRequest request;
  request.size = 12 * kUnit;
  request.alignment = kUnit;
  request.large = true;
  Block& block = TinyMemory::live(arena, request);
  const auto base = reinterpret_cast<std::uintptr_t>(block.data());
  thread reuser([&] {
    // As Allocator::try_free.
    block.word.store(BlockWord::make(BlockState::moving, TinyMemory::generation(block) + 1),
                     std::memory_order_relaxed);
    arena.give(block);
    INTERLEAVE_EXPECT(arena.release_empty() == 2 * kGranule);
    INTERLEAVE_EXPECT(arena.grow(request).ok());
    INTERLEAVE_EXPECT(block.data() == reinterpret_cast<std::byte*>(base + kGranule));
  });
  INTERLEAVE_EXPECT(memory.map.find_containing(base + 14 * kUnit) == nullptr);
  reuser.join();
});

}  // namespace
}  // namespace millrace::verify
