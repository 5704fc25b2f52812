// All blocks of a device, listed while they change.
#include <cstdint>

#include "at_once.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

struct Sums {
  std::size_t committed = 0, live = 0, cached = 0, pending = 0;
};

/// M8: what holds of a listing at any time.
Sums sums_of(const std::vector<MemorySegment>& segments) {
  Sums sums;
  std::uintptr_t end = 0;
  for (const MemorySegment& segment : segments) {
    auto at = reinterpret_cast<std::uintptr_t>(segment.address);
    INTERLEAVE_EXPECT(at >= end && !segment.blocks.empty());
    end = at + segment.bytes;
    for (const MemoryBlock& block : segment.blocks) {
      INTERLEAVE_EXPECT(reinterpret_cast<std::uintptr_t>(block.address) == at && block.bytes != 0);
      at += block.bytes;
      if (block.state == MemoryState::live) sums.live += block.bytes;
      if (block.state == MemoryState::cached) sums.cached += block.bytes;
      if (block.state == MemoryState::pending) sums.pending += block.bytes;
    }
    INTERLEAVE_EXPECT(at == end);
    sums.committed += segment.bytes;
  }
  return sums;
}

const MemoryBlock* find(const std::vector<MemorySegment>& segments, const void* address) {
  for (const MemorySegment& segment : segments) {
    for (const MemoryBlock& block : segment.blocks) {
      if (block.address == address) return &block;
    }
  }
  return nullptr;
}

/// M8: what holds at a quiet point.
void expect_exact(Allocator& memory) {
  const Sums sums = sums_of(memory.segments());
  const MemoryStats stats = memory.stats();
  INTERLEAVE_EXPECT(sums.committed == stats.committed && sums.live == stats.live);
  INTERLEAVE_EXPECT(sums.cached == stats.cached && sums.pending == stats.pending);
}

// A thread's own blocks go to and fro; what nobody frees is live throughout.
const Register cached(
    "listing.beside_a_thread_s_own", "M8 M1",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device, 1), others(device, 2);
      Allocator& memory = device.memory();
      void* const held = memory.allocate(mine.get(), 1, kUnit, kUnit);
      memory.deallocate(others.get(), memory.allocate(others.get(), 1, kUnit, kUnit), OnMisuse::raise);
      expect_exact(memory);
      thread owner([&] {
        void* const block = memory.allocate(others.get(), 1, kUnit, kUnit);
        memory.deallocate(others.get(), block, OnMisuse::raise);
      });
      const std::vector<MemorySegment> segments = memory.segments();
      const Sums sums = sums_of(segments);
      INTERLEAVE_EXPECT(sums.committed == kGranule && sums.live >= kUnit && sums.live <= 2 * kUnit);
      const MemoryBlock* const found = find(segments, held);
      INTERLEAVE_EXPECT(found != nullptr && found->state == MemoryState::live && found->bytes == kUnit);
      INTERLEAVE_EXPECT(found->thread == 1 && segments.front().stream == 1);
      owner.join();
      expect_exact(memory);
      memory.deallocate(mine.get(), held, OnMisuse::raise);
      INTERLEAVE_EXPECT(find(memory.segments(), held)->state == MemoryState::cached);
    },
    with_device());

// What was handed over before is live, whoever lists.
const Register handed_over(
    "listing.of_what_another_allocated", "M8 M6",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device, 1);
      Allocator& memory = device.memory();
      sync::atomic<void*> handed{nullptr};
      thread lister([&] {
        // acquire: pairs with the release below, as whatever hands an address on does.
        void* const block = handed.load(std::memory_order_acquire);
        if (block == nullptr) return;
        INTERLEAVE_EXPECT(find(memory.segments(), block)->state == MemoryState::live);
      });
      handed.store(memory.allocate(mine.get(), 1, kUnit, kUnit), std::memory_order_release);
      lister.join();
      memory.deallocate(mine.get(), handed.load(std::memory_order_relaxed), OnMisuse::raise);
    },
    with_device());

// A heap that comes, and its blocks are split.
const Register growth(
    "listing.beside_growth", "M8 M2",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device, 1);
      Allocator& memory = device.memory();
      void* block = nullptr;
      thread owner([&] { block = memory.allocate(mine.get(), 1, kGranule, kUnit); });
      const Sums sums = sums_of(memory.segments());
      INTERLEAVE_EXPECT(sums.committed == 0 || sums.committed == kGranule);
      owner.join();
      expect_exact(memory);
      memory.deallocate(mine.get(), block, OnMisuse::raise);
    },
    with_device());

// And that is merged, and goes.
const Register trim(
    "listing.beside_a_trim", "M8 M2",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device, 1);
      Allocator& memory = device.memory();
      memory.deallocate(mine.get(), memory.allocate(mine.get(), 1, 3 * kUnit, kUnit), OnMisuse::raise);
      thread trimmer([&] { memory.trim(); });
      const Sums sums = sums_of(memory.segments());
      INTERLEAVE_EXPECT(sums.live == 0 && (sums.committed == 0 || sums.committed == kGranule));
      trimmer.join();
      INTERLEAVE_EXPECT(memory.segments().empty());
    },
    with_device());

// What is given back in the middle of a heap leaves two segments of it.
const Register hole(
    "listing.around_a_hole", "M8 M2",
    [] {
      TinyDevice device(by_hand({.granules = 3, .streams = 2}));
      TinyContext mine(device, 1);
      Allocator& memory = device.memory();
      void* blocks[3];
      for (void*& block : blocks) block = memory.allocate(mine.get(), 1, kGranule, kUnit);
      memory.deallocate(mine.get(), blocks[1], OnMisuse::raise);
      thread trimmer([&] { memory.trim(); });
      const std::vector<MemorySegment> segments = memory.segments();
      INTERLEAVE_EXPECT(sums_of(segments).live == 2 * kGranule);
      INTERLEAVE_EXPECT(segments.size() == 1 || segments.size() == 2);
      trimmer.join();
      const std::vector<MemorySegment> after = memory.segments();
      INTERLEAVE_EXPECT(after.size() == 2 && sums_of(after).committed == 2 * kGranule);
      INTERLEAVE_EXPECT(after[0].address == blocks[0] && after[1].address == blocks[2]);
      expect_exact(memory);
    },
    with_device());

// In each place where a block can be.
const Register places(
    "listing.of_each_place", "M8 M1",
    [] {
      TinyDevice device(by_hand({.streams = 2, .unsent_blocks = 2}));
      TinyContext mine(device, 1), others(device, 2);
      Allocator& memory = device.memory();
      const StreamId user = device.streams().lease(mine.get(), "lease");
      void* blocks[4];
      for (void*& block : blocks) block = memory.allocate(mine.get(), 0, kUnit, kUnit);
      expect_exact(memory);
      thread other([&] {
        // The first is unsent until the second comes.
        for (int i = 0; i < 2; ++i) {
          memory.deallocate(others.get(), blocks[i], OnMisuse::raise);
          expect_exact(memory);
        }
      });
      other.join();
      device.streams().record(user, task(), "run");
      memory.record_use(blocks[2], user.slot, false, "record_use");
      memory.deallocate(mine.get(), blocks[2], OnMisuse::raise);
      memory.deallocate(mine.get(), blocks[3], OnMisuse::raise);
      INTERLEAVE_EXPECT(find(memory.segments(), blocks[2])->state == MemoryState::pending);
      expect_exact(memory);
      device.streams().commit(user, "commit");
      device.backend().run_all();
      device.streams().end_lease(nullptr, user.slot);
    },
    with_device());

// The memory of a graph is listed, until the graph is dropped.
const Register graph(
    "listing.of_a_graph", "M8 A3",
    [] {
      TinyDevice device(by_hand({.streams = 1, .captures = 1}));
      TinyContext mine(device, 1);
      Allocator& memory = device.memory();
      const int slot = device.streams().acquire_capture("capture");
      memory.reserve_capture(slot);
      const StreamId captured = device.streams().begin_capture(slot, "capture");
      memory.begin_capture(slot);
      void* const block = memory.allocate(mine.get(), slot, kUnit, kUnit);
      memory.deallocate(mine.get(), block, OnMisuse::raise);
      const std::vector<MemorySegment> segments = memory.segments();
      INTERLEAVE_EXPECT(segments.size() == 1 && segments.front().graph && segments.front().stream == slot);
      expect_exact(memory);
      device.streams().abort_capture(captured);
      GraphMemory& of_graph = memory.end_capture(slot, {});
      device.streams().free_capture(slot);
      thread lister([&] { static_cast<void>(sums_of(memory.segments())); });
      memory.drop_graph(of_graph, {});
      lister.join();
      INTERLEAVE_EXPECT(memory.segments().empty());
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
