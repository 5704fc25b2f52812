// Protect mode: what was freed while another stream used it, and nothing but the program's own waits covers.
#include "at_once.h"
#include "one_stream.h"
#include "tiny_memory.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

/// Stream 1 uses a block and ends to do so when a scenario says so. Nobody may be told of that end, nor may
/// memory be hidden before it (A5).
struct UsedStreams final : ArenaHost {
  Timeline timelines[2];
  sync::atomic<bool> over{false};

  const Timeline& timeline(int slot) const noexcept override { return timelines[slot]; }
  bool reached(const TimelinePoint& point) noexcept override {
    INTERLEAVE_EXPECT(point.queue == 0);
    return true;
  }
  // acquire: pairs with the release in end.
  bool ended(const TimelinePoint& point) const noexcept override {
    return point.queue == 0 || over.load(std::memory_order_acquire);
  }
  void hide(const Block&) noexcept override {
    INTERLEAVE_EXPECT(over.load(std::memory_order_acquire));
    ++hidden;
  }
  void end() noexcept {
    used_until_now = true;
    over.store(true, std::memory_order_release);
  }
  int hidden = 0;
  bool used_until_now = false;
};

/// A live block of an arena's stream 0, which recorded work on stream 1 uses.
struct UsedBlock : TinyMemory {
  UsedBlock() : TinyMemory(1), block(&live(arena, small(4))) { use(false); }
  void use(bool covered) {
    INTERLEAVE_EXPECT(arena.add_use(*block, generation(*block), {.point = {1, 1}, .declared = !covered}));
  }
  void free(Uncovered uncovered) {
    INTERLEAVE_EXPECT(arena.free_used(*block, generation(*block), uncovered, OwnEnd::none));
  }

  UsedStreams used;
  Arena arena{0, ArenaUse::stream, geometry, heaps, map, used};
  Block* const block;
};

// It goes out again at once, or as free memory once the use has ended; its next free knows the use as well.
const Register next_life("checked_use.ends_beside_its_next_life", "A5", [] {
  UsedBlock tiny;
  thread user([&] { tiny.used.end(); });
  tiny.free(Uncovered::check);
  Block* block = tiny.arena.take_checked(TinyMemory::small(4));
  if (block == nullptr) {
    INTERLEAVE_EXPECT(tiny.used.hidden == 1 && tiny.used.used_until_now);
    block = tiny.arena.take(TinyMemory::small(4), false);
  }
  INTERLEAVE_EXPECT(block == tiny.block);
  TinyMemory::make_live(*block);
  tiny.free(Uncovered::keep);
  user.join();
  tiny.arena.collect_pending();
  INTERLEAVE_EXPECT(tiny.used.hidden >= 1 && tiny.arena.pending_bytes() == 0);
});

// What another stream may still use goes neither to the device nor to another stream.
const Register trimmed("checked_use.ends_beside_a_trim", "A5 M1", [] {
  UsedBlock tiny;
  const std::byte* const used = tiny.block->data();
  tiny.free(Uncovered::check);
  thread user([&] { tiny.used.end(); });
  const std::size_t released = tiny.arena.release_empty();
  INTERLEAVE_EXPECT(released == 0 || tiny.used.used_until_now);
  const Block* const lent = tiny.arena.take(TinyMemory::small(4), true);
  INTERLEAVE_EXPECT(lent == nullptr || lent->data() != used || tiny.used.used_until_now);
  user.join();
});

const Register two_take("checked_use.two_take", "A5 T2", [] {
  UsedBlock tiny;
  tiny.free(Uncovered::check);
  Block* taken[2] = {};
  at_once([&](int me) {
    taken[me] = tiny.arena.take_checked(TinyMemory::small(4));
    if (taken[me] != nullptr) TinyMemory::make_live(*taken[me]);
  });
  INTERLEAVE_EXPECT((taken[0] == tiny.block) != (taken[1] == tiny.block));
  INTERLEAVE_EXPECT(tiny.arena.pending_bytes() == 0);
  tiny.free(Uncovered::check);
});

// A record_use beside the allocation that it is too late for, or covers.
const Register covered("checked_use.covered_beside_the_free", "A5 A1 M6", [] {
  UsedBlock tiny;
  const std::uint64_t generation = TinyMemory::generation(*tiny.block);
  bool recorded = false;
  thread other([&] { recorded = tiny.arena.add_use(*tiny.block, generation, {.point = {0, 1}}); });
  tiny.free(Uncovered::check);
  Block* const block = tiny.arena.take_checked(TinyMemory::small(4));
  other.join();
  INTERLEAVE_EXPECT((block == nullptr) == recorded);
});

// Through the allocator: the stream that frees it has it again while the other one's work has not run.
const Register allocated(
    "checked_use.allocated_again", "A5 M1 M6",
    [] {
      TinyDevice device(by_hand({.granules = 1, .streams = 2, .protect = true}));
      device.core().set_use_checker(&device.memory());
      TinyContext mine(device, 1);
      Allocator& memory = device.memory();
      const StreamId user = device.streams().lease(mine.get(), "lease");
      void* const block = memory.allocate(mine.get(), 0, kUnit, kUnit);
      device.streams().record(
          user, {.work = TaskWork{[] {}}, .name = "task", .uses = {reads(block, kUnit)}, .place = {}}, "run");
      memory.deallocate(mine.get(), block, OnMisuse::raise);
      INTERLEAVE_EXPECT(memory.stats().pending == kUnit);
      INTERLEAVE_EXPECT(memory.allocate(mine.get(), 0, kUnit, kUnit) == block);
      memory.check_accounting();
      memory.deallocate(mine.get(), block, OnMisuse::raise);
      thread committer([&] { device.streams().commit(user, "commit"); });
      committer.join();
      device.backend().run_all();
      memory.trim();
      INTERLEAVE_EXPECT(memory.stats().committed == 0);
      device.streams().end_lease(nullptr, user.slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
