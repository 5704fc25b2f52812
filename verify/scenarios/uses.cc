// Uses of memory that work declares, and marks of memory as one that may be thrown away, beside each other
// and beside its free.
#include "one_stream.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

/// A live block of the default stream, and somebody else's stream.
struct OneBlock {
  OneBlock()
      : device(by_hand({.streams = 2})),
        mine(device, 1),
        block(device.memory().allocate(mine.get(), 0, kUnit, kUnit)) {
    device.core().set_use_checker(&device.memory());
  }
  void free() { device.memory().deallocate(mine.get(), block, OnMisuse::raise); }

  TinyDevice device;
  TinyContext mine;
  void* const block;
};

Operation task_with(void* memory) {
  return {.work = TaskWork{[] {}}, .name = "task", .uses = {reads(memory, kUnit)}, .place = {}};
}

// Both declare it in the stream that allocated it: what is freed then is reused behind both.
const Register two_declare(
    "use.two_declare", "A1 M6",
    [] {
      OneBlock one;
      const StreamId stream = one.device.streams().default_stream();
      at_once([&](int) { one.device.streams().record(stream, task_with(one.block), "run"); });
      INTERLEAVE_EXPECT(rule_of([&] { one.device.memory().make_discardable(one.block); }) ==
                        "purgeable-in-use");
      one.device.streams().commit(stream, "commit");
      one.device.backend().run_all();
      one.free();
    },
    with_device());

// What is discarded is live, and what a free has ended is not: each finds out.
const Register two_discard(
    "use.two_discard", "M6",
    [] {
      OneBlock one;
      at_once([&](int me) {
        if (me == 0) {
          one.device.memory().make_discardable(one.block);
          static_cast<void>(one.device.memory().make_resident(one.block));
        } else {
          static_cast<void>(one.device.memory().make_resident(one.block));
          one.device.memory().make_discardable(one.block);
        }
      });
      one.free();
    },
    with_device());

// A mark comes before the free, or is refused: it never makes the block live again.
const Register marked(
    "uses.mark_against_free", "M6 M1",
    [] {
      TinyDevice device(by_hand({.granules = 1}));
      TinyContext mine(device);
      Allocator& memory = device.memory();
      void* const block = memory.allocate(mine.get(), 1, kUnit, kUnit);
      thread marker([&] {
        const std::string rule = rule_of([&] { memory.make_discardable(block); });
        INTERLEAVE_EXPECT(rule.empty() || rule == "use-after-free" || rule == "double-free");
      });
      memory.deallocate(mine.get(), block, OnMisuse::raise);
      marker.join();
      INTERLEAVE_EXPECT(rule_of([&] { static_cast<void>(memory.size_of(block, "size")); }) == "double-free");
      memory.check_accounting();
    },
    with_device());

const Register discarded(
    "uses.discarded", "M6",
    [] {
      TinyDevice device(by_hand({.granules = 1}));
      TinyContext mine(device);
      Allocator& memory = device.memory();
      void* const block = memory.allocate(mine.get(), 1, kUnit, kUnit);
      const auto check = [&] { memory.check({block, kUnit, {}}, {1, 1}); };
      thread marker([&] { memory.make_discardable(block); });
      marker.join();
      INTERLEAVE_EXPECT(rule_of(check) == "purgeable-in-use");
      INTERLEAVE_EXPECT(memory.make_resident(block));
      INTERLEAVE_EXPECT(rule_of(check).empty());
      memory.deallocate(mine.get(), block, OnMisuse::raise);
    },
    with_device());

// What was recorded as a use is waited for by the stream that has the memory next.
const Register behind_a_wait(
    "uses.reused_behind_a_wait", "A1 S9",
    [] {
      TinyDevice device(by_hand({.granules = 1}));
      TinyContext mine(device);
      Allocator& memory = device.memory();
      const StreamId user = device.streams().lease(mine.get(), "lease");
      const StreamId owner = device.streams().default_stream();
      void* const block = memory.allocate(mine.get(), owner.slot, kGranule, kUnit);
      bool done = false;
      device.streams().record(user, task([&] { done = true; }), "run");
      memory.record_use(block, user.slot, false, "record_use");
      thread committer([&] { device.streams().commit(user, "commit"); });
      committer.join();
      memory.deallocate(mine.get(), block, OnMisuse::raise);
      INTERLEAVE_EXPECT(memory.allocate(mine.get(), owner.slot, kGranule, kUnit) == block);
      device.streams().record(owner, task([&] { INTERLEAVE_EXPECT(done); }), "run");
      device.streams().commit(owner, "commit");
      // The owner's comes first where nothing orders the two.
      device.backend().run_all();
      INTERLEAVE_EXPECT(done);
      device.streams().end_lease(nullptr, user.slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
