// Out of memory, while what would do is with a thread that ends, or in another stream's arena.
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

/// Null where there is none to be had.
void* try_allocate(TinyDevice& device, TinyContext& context, int slot, std::size_t bytes) {
  try {
    return device.memory().allocate(context.get(), slot, bytes, kUnit);
  } catch (const OutOfMemoryError&) {
    return nullptr;
  }
}

void cache_a_block(TinyDevice& device, TinyContext& context, int slot) {
  device.memory().deallocate(context.get(), device.memory().allocate(context.get(), slot, kUnit, kUnit),
                             OnMisuse::raise);
}

// A thread that ends gives back what it caches: who needs it waits for that, as for a thread at work.
const Register exits(
    "out_of_memory.cached_by_who_exits", "O1 X3 T1",
    [] {
      TinyDevice device({.granules = 1, .cache_waits = 1 << 20});
      TinyContext mine(device, 1), other(device, 2);
      cache_a_block(device, other, 2);
      thread owner([&] { other.end(); });
      INTERLEAVE_EXPECT(try_allocate(device, mine, 1, kGranule) != nullptr);
      owner.join();
    },
    Expectation::bounded(
        "who is out of memory tries again until the other thread is through, any number of times"),
    with_device());

// What a thread caches is back before its stream is: who gets that finds the memory.
const Register lease(
    "out_of_memory.cached_for_the_next_lease", "O1 S6 T1",
    [] {
      TinyDevice device({.granules = 1, .streams = 2, .exhaustion = ExhaustionPolicy::wait});
      TinyContext mine(device, 1), other(device, 2);
      const StreamId held = StreamPool::current(other.get(), "current");
      cache_a_block(device, other, held.slot);
      thread owner([&] { other.end(); });
      const StreamId taken = device.streams().lease(mine.get(), "lease");
      INTERLEAVE_EXPECT(try_allocate(device, mine, taken.slot, kGranule) != nullptr);
      owner.join();
      device.streams().end_lease(nullptr, taken.slot);
    },
    with_device());

// Memory that is lent is the lender's again when the borrower's work with it is done.
const Register borrowed(
    "out_of_memory.borrowed", "O1 A1 M2",
    [] {
      TinyDevice device(by_hand({.granules = 1}));
      TinyContext mine(device, 1);
      const StreamId borrower = device.streams().lease(mine.get(), "lease");
      const StreamId lender = device.streams().default_stream();
      constexpr std::size_t kHalf = kGranule / 2;
      device.memory().allocate(mine.get(), lender.slot, kHalf, kUnit);
      void* const block = try_allocate(device, mine, borrower.slot, kHalf);
      INTERLEAVE_EXPECT(block != nullptr && device.memory().slot_of(block, "test") == lender.slot);
      bool done = false;
      device.streams().record(borrower, task([&] { done = true; }), "run");
      device.streams().commit(borrower, "commit");
      device.memory().deallocate(mine.get(), block, OnMisuse::raise);
      INTERLEAVE_EXPECT(try_allocate(device, mine, lender.slot, kHalf) == block);
      device.streams().record(lender, task([&] { INTERLEAVE_EXPECT(done); }), "run");
      device.streams().commit(lender, "commit");
      // The lender's comes first where nothing orders the two.
      device.backend().run_all();
      device.streams().end_lease(nullptr, borrower.slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
