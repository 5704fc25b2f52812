// The memory limit: who may commit.
#include "memory/limit.h"

#include "memory/page_map.h"
#include "tiny_memory.h"

namespace millrace::verify {
namespace {

using interleave::thread;

const Register two_growers("limit.two_growers", "M2", [] {
  Limit limit(3);
  int granted = 0;
  sync::Mutex counting;
  const auto grow = [&] {
    if (!limit.try_reserve(2)) return;
    INTERLEAVE_EXPECT(limit.committed() == 2);
    const sync::LockGuard lock(counting);
    ++granted;
  };
  thread one(grow);
  thread two(grow);
  INTERLEAVE_EXPECT(limit.committed() <= limit.limit());
  one.join();
  two.join();
  INTERLEAVE_EXPECT(granted == 1);
  INTERLEAVE_EXPECT(limit.committed() == 2 && limit.peak() == 2);
});

const Register share("limit.share_given_back", "M2", [] {
  Limit limit(2);
  const auto grow = [&](bool use) {
    LimitShare share(limit, 2);
    if (share && use) share.use_up();
  };
  thread failing([&] { grow(false); });
  thread growing([&] { grow(true); });
  failing.join();
  growing.join();
  INTERLEAVE_EXPECT(limit.committed() == 0 || limit.committed() == 2);
  if (limit.committed() == 2) limit.give_back(2);
  INTERLEAVE_EXPECT(limit.committed() == 0 && limit.peak() == 2);
});

const Register lowered("limit.lowered_while_growing", "M2", [] {
  Limit limit(4);
  bool grown = false, lowered = false;
  thread grower([&] { grown = limit.try_reserve(3); });
  thread setter([&] { lowered = limit.try_set(2); });
  grower.join();
  setter.join();
  INTERLEAVE_EXPECT(grown != lowered);
  INTERLEAVE_EXPECT(limit.committed() <= limit.limit());
});

const Register growth_against_lookup("page_map.growth_against_lookup", "P1", [] {
  TinyMemory memory(2);
  Arena arena(0, ArenaUse::stream, memory.geometry, memory.heaps, memory.map, memory.streams);
  sync::atomic<std::uintptr_t> address{0};
  thread finder([&] {
    // relaxed: P1 asks for no order of the address's way.
    const std::uintptr_t seen = address.load(std::memory_order_relaxed);
    const Block* const block = memory.map.find(seen);
    if (seen == 0) {
      INTERLEAVE_EXPECT(block == nullptr);
    } else if (block != nullptr) {
      static_cast<void>(block->word.load(std::memory_order_acquire));
    }
  });
  Block& block = TinyMemory::live(arena, TinyMemory::small());
  address.store(reinterpret_cast<std::uintptr_t>(block.data()), std::memory_order_relaxed);
  finder.join();
  INTERLEAVE_EXPECT(memory.map.find(reinterpret_cast<std::uintptr_t>(block.data())) == &block);
  arena.give(block);
});

}  // namespace
}  // namespace millrace::verify
