// Memory that recorded work uses, as two threads declare it, and memory that two may throw away.
#include "one_stream.h"

namespace millrace::verify {
namespace {

using OnMisuse = Allocator::OnMisuse;

/// A live block of the default stream, and somebody else's stream.
struct OneBlock {
  OneBlock()
      : device(options()), mine(device, 1), block(device.memory().allocate(mine.get(), 0, kUnit, kUnit)) {
    device.core().set_use_checker(&device.memory());
  }
  static TinyOptions options() {
    TinyOptions options;
    options.streams = 2;
    options.runs = TinyBackend::Runs::by_hand;
    return options;
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
      while (one.device.backend().run_next()) {
      }
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

const Register two_reset(
    "accounting.two_reset_peaks", "M1 D2",
    [] {
      OneBlock one;
      at_once([&](int) { one.device.memory().reset_peaks(); });
      INTERLEAVE_EXPECT(one.device.memory().stats().peak_live == kUnit);
      one.free();
    },
    with_device());

// Two arenas grow within one limit, for a thread each.
const Register two_allocate(
    "accounting.two_allocate_the_first", "M1 T2",
    [] {
      TinyDevice device(OneBlock::options());
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

}  // namespace
}  // namespace millrace::verify
