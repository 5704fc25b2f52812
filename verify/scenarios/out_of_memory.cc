// The out-of-memory procedure: what is free anywhere is found, and the limit is kept.
#include <optional>

#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

TinyOptions at_limit(std::size_t granules) {
  TinyOptions options;
  options.granules = granules;
  return options;
}

/// Who finds nothing waits for the other thread to be through with what it does, and then tries again or not.
/// So what it says of the memory does not add to what there is to explore.
struct Patience {
  interleave::atomic<bool> other_is_through{false};

  TinyOptions at_limit(std::size_t granules, bool tries_again) {
    TinyOptions options = verify::at_limit(granules);
    options.on_out_of_memory = [this, tries_again](std::size_t) {
      interleave::await(other_is_through, [](bool through) { return through; });
      return tries_again;
    };
    return options;
  }
};

/// Null where there is none to be had.
void* try_granule(TinyDevice& device, TinyContext& context, int slot) {
  try {
    return device.memory().allocate(context.get(), slot, kGranule, kUnit);
  } catch (const OutOfMemoryError&) {
    return nullptr;
  }
}

const Register two_take_the_last(
    "out_of_memory.two_take_the_last", "M2 O1 M1",
    [] {
      Patience patience;
      TinyDevice device(patience.at_limit(1, false));
      TinyContext mine(device, 1), other(device, 2);
      const auto take = [&](TinyContext& context, int slot) {
        void* const taken = try_granule(device, context, slot);
        patience.other_is_through.store(true);
        return taken;
      };
      void* theirs = nullptr;
      thread taker([&] { theirs = take(other, 2); });
      void* const ours = take(mine, 1);
      taker.join();
      INTERLEAVE_EXPECT((ours == nullptr) != (theirs == nullptr));
      INTERLEAVE_EXPECT(device.backend().committed() == kGranule);
      device.memory().check_accounting();
    },
    with_device());

// What another thread's cache holds is enough, whatever that thread does meanwhile.
const Register cached_elsewhere(
    "out_of_memory.cached_by_another", "O1 X4 T1 M2",
    [] {
      TinyDevice device(at_limit(1));
      TinyContext mine(device, 1), other(device, 2);
      void* const block = device.memory().allocate(other.get(), 2, kUnit, kUnit);
      thread owner([&] { device.memory().deallocate(other.get(), block, OnMisuse::raise); });
      owner.join();
      INTERLEAVE_EXPECT(try_granule(device, mine, 1) != nullptr);
    },
    with_device());

const Register own_cache(
    "out_of_memory.cached_by_itself", "O1 T1",
    [] {
      TinyDevice device(by_hand({.granules = 1}));
      TinyContext mine(device);
      Allocator& memory = device.memory();
      memory.deallocate(mine.get(), memory.allocate(mine.get(), 1, kUnit, kUnit), OnMisuse::raise);
      thread owner([&] { INTERLEAVE_EXPECT(memory.allocate(mine.get(), 1, kGranule, kUnit) != nullptr); });
      owner.join();
    },
    with_device());

const Register freed_meanwhile(
    "out_of_memory.freed_meanwhile", "O1 X4 T1 M2",
    [] {
      Patience patience;
      TinyDevice device(patience.at_limit(1, true));
      TinyContext mine(device, 1), other(device, 2);
      void* const block = device.memory().allocate(other.get(), 2, kUnit, kUnit);
      thread owner([&] {
        device.memory().deallocate(other.get(), block, OnMisuse::raise);
        patience.other_is_through.store(true);
      });
      INTERLEAVE_EXPECT(try_granule(device, mine, 1) != nullptr);
      owner.join();
      INTERLEAVE_EXPECT(device.backend().committed() == kGranule);
    },
    with_device());

// What two threads have free is enough for both, though each may meet the other one at work.
const Register two_at_once(
    "out_of_memory.two_at_once", "O1 X4 T1 M1 M2",
    [] {
      Patience patience;
      TinyDevice device(patience.at_limit(2, true));
      TinyContext mine(device, 1), other(device, 2);
      device.memory().deallocate(mine.get(), device.memory().allocate(mine.get(), 1, kUnit, kUnit),
                                 OnMisuse::raise);
      device.memory().deallocate(other.get(), device.memory().allocate(other.get(), 2, kUnit, kUnit),
                                 OnMisuse::raise);
      const auto take = [&](TinyContext& context, int slot) {
        INTERLEAVE_EXPECT(try_granule(device, context, slot) != nullptr);
        patience.other_is_through.store(true);
      };
      thread taker([&] { take(other, 2); });
      take(mine, 1);
      taker.join();
      INTERLEAVE_EXPECT(device.backend().committed() == 2 * kGranule);
    },
    Expectation::bounded("all interleavings of two procedures take hours; two_take_the_last is complete"),
    with_device(/*max_preemptions=*/1));

// What one of two threads caches is enough for both: the other one does not look for it while its owner
// flushes it.
const Register one_has_it(
    "out_of_memory.two_and_one_has_it", "O1 X4 T1 M2",
    [] {
      std::function<bool()> free_two;
      TinyOptions options = by_hand({.granules = 1, .streams = 1});
      options.on_out_of_memory = [&](std::size_t) { return free_two(); };
      TinyDevice device(options);
      TinyContext mine(device, 1), other(device, 2);
      const auto take = [&](TinyContext& context, std::size_t units) {
        return device.memory().allocate(context.get(), 0, units * kUnit, kUnit);
      };
      take(mine, 4);
      void* const blocks[] = {take(mine, 2), take(mine, 2)};
      std::optional<thread> taker;
      bool freed = false;
      // From here on who has it is inside its context only as the procedure has it.
      free_two = [&] {
        if (freed) return false;
        for (void* block : blocks) device.memory().deallocate(mine.get(), block, OnMisuse::raise);
        freed = true;
        taker.emplace([&] { take(other, 2); });
        return true;
      };
      take(mine, 2);
      taker->join();
    },
    with_device());

// What other streams' work still uses is waited for: it is committed, so it ends.
const Register used_elsewhere(
    "out_of_memory.used_until_completed", "A1 O1 M2",
    [] {
      TinyDevice device(by_hand({.granules = 1}));
      TinyContext mine(device);
      void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
      const StreamId used_on = device.streams().lease(mine.get(), "lease");
      device.streams().record(used_on, task(), "run");
      device.memory().record_use(block, used_on.slot, false, "record_use");
      device.streams().commit(used_on, "commit");
      device.memory().deallocate(mine.get(), block, OnMisuse::raise);
      thread runs([&] { device.backend().run_next(); });
      INTERLEAVE_EXPECT(try_granule(device, mine, 1) != nullptr);
      runs.join();
      device.streams().end_lease(&mine.get(), used_on.slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
