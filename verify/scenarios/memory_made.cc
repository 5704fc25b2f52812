// What memory is kept in, made by one thread and found by another: arenas, budgets, blocks by their address.
#include <algorithm>

#include "at_once.h"
#include "memory/page_map.h"
#include "memory/thread_cache.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

// Two threads allocate for one stream that nobody has allocated for: they share an arena.
const Register two_make(
    "arena.made_beside_another", "A2 M1",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device, 1), other(device, 2);
      void* theirs = nullptr;
      thread taker([&] { theirs = device.memory().allocate(other.get(), 1, kGranule, kUnit); });
      void* const ours = device.memory().allocate(mine.get(), 1, kGranule, kUnit);
      taker.join();
      INTERLEAVE_EXPECT(ours != theirs);
      device.memory().check_accounting();
    },
    Expectation::bounded("all interleavings of the two allocations take half a minute"),
    with_device(/*max_preemptions=*/1));

const Register made_trim(
    "arena.made_against_trim", "A2 M1",
    [] {
      TinyDevice device(by_hand({.granules = 1, .streams = 2}));
      TinyContext mine(device);
      thread owner([&] { static_cast<void>(device.memory().allocate(mine.get(), 1, kGranule, kUnit)); });
      device.memory().trim();
      owner.join();
      device.memory().check_accounting();
      INTERLEAVE_EXPECT(device.backend().committed() == kGranule);
    },
    with_device());

// Two arenas grow within one limit, for a thread each.
const Register two_allocate(
    "accounting.two_allocate_the_first", "M1 T2",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext first(device, 1), second(device, 2);
      void* blocks[2] = {};
      at_once([&](int me) {
        blocks[me] = device.memory().allocate((me == 0 ? first : second).get(), me, kUnit, kUnit);
      });
      INTERLEAVE_EXPECT(blocks[0] != blocks[1]);
      device.memory().check_accounting();
      device.memory().deallocate(first.get(), blocks[0], OnMisuse::raise);
      device.memory().deallocate(second.get(), blocks[1], OnMisuse::raise);
    },
    with_device());

const Register budget("cache.two_share_the_budget", "T1", [] {
  CacheBudget budget(2);
  bool both = false, one = false;
  thread other([&] { both = budget.try_take(2); });
  one = budget.try_take(1);
  other.join();
  INTERLEAVE_EXPECT(both != one);
  budget.give_back(both ? 2 : 1);
  INTERLEAVE_EXPECT(budget.try_take(2));
  thread giver([&] { budget.give_back(1); });
  budget.give_back(1);
  giver.join();
  INTERLEAVE_EXPECT(budget.try_take(2) && !budget.try_take(1));
});

// Who has only the address finds the block that is there now, whole, or none.
const Register found(
    "cache.found_by_address", "M6 P1",
    [] {
      TinyDevice device(by_hand({.granules = 1, .streams = 2}));
      TinyContext mine(device, 1), before(device, 2);
      Allocator& memory = device.memory();
      static_cast<void>(memory.allocate(before.get(), 1, 4 * kUnit, kUnit));
      static_cast<void>(memory.allocate(before.get(), 1, 2 * kUnit, kUnit));
      void* const one = memory.allocate(before.get(), 1, kUnit, kUnit);
      void* const two = memory.allocate(before.get(), 1, kUnit, kUnit);
      memory.deallocate(before.get(), one, OnMisuse::raise);
      memory.deallocate(before.get(), two, OnMisuse::raise);
      before.end();  // the two are free, and not merged yet
      void* const where = std::min(one, two);
      thread asker([&] {
        try {
          INTERLEAVE_EXPECT(memory.size_of(where, "size") == 2 * kUnit);
        } catch (const Error&) {
        }
      });
      INTERLEAVE_EXPECT(memory.allocate(mine.get(), 1, 2 * kUnit, kUnit) == where);
      asker.join();
    },
    with_device());

constexpr std::uintptr_t kBase = 4 * kGranule;

// A block of two granules is found from the second one.
void found_within(std::uintptr_t at, std::size_t bytes, std::size_t unit) {
  const Geometry geometry = tiny_geometry();
  PageMap map(geometry);
  map.add_granules(kBase, 2 * kGranule, unit);
  thread finder([&] {
    const Block* const block = map.find_containing(at);
    if (block != nullptr) INTERLEAVE_EXPECT(block->size == bytes);
  });
  const auto block = std::make_unique<Block>();
  block->size = bytes;
  block->address.store(kBase, std::memory_order_release);  // release: as Space's
  TinyMemory::make_live(*block);
  map.set_block(*block);
  finder.join();
  INTERLEAVE_EXPECT(map.find_containing(at) == block.get());
}

const Register spanning("page_map.spanning_granules", "P1",
                        [] { found_within(kBase + kGranule + kUnit, 2 * kGranule, kGranule); });
const Register within("page_map.containing_new", "P1", [] { found_within(kBase + kUnit, 2 * kUnit, kUnit); });

// Memory has been given back before somebody else may commit as much.
const Register limit_given_back("limit.given_back_against_growth", "M2", [] {
  TinyMemory memory(1);
  Arena first(0, ArenaUse::graph, memory.geometry, memory.heaps, memory.map, memory.streams);
  Arena second(1, ArenaUse::graph, memory.geometry, memory.heaps, memory.map, memory.streams);
  Block& block = TinyMemory::live(first, TinyMemory::large());
  // As Allocator::try_free.
  block.word.store(BlockWord::make(BlockState::moving, TinyMemory::generation(block) + 1),
                   std::memory_order_relaxed);
  first.give(block);
  thread giver([&] { INTERLEAVE_EXPECT(first.release_empty() == kGranule); });
  const bool grown = second.grow(TinyMemory::large()).ok();
  giver.join();
  INTERLEAVE_EXPECT(memory.source.committed() == (grown ? kGranule : 0));
});

}  // namespace
}  // namespace millrace::verify
