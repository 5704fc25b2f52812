// Uses and marks of memory beside its free, and what out of memory finds in the thread's own cache.
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using OnMisuse = Allocator::OnMisuse;

Operation task(HostTask run) {
  return {.work = TaskWork{std::move(run)}, .name = "task", .uses = {}, .place = {}};
}

TinyOptions by_hand(std::size_t granules = 1) {
  TinyOptions options;
  options.granules = granules;
  options.runs = TinyBackend::Runs::by_hand;
  return options;
}

/// The rule that it breaks, or none.
template <typename F>
std::string rule_of(F&& call) {
  try {
    call();
    return {};
  } catch (const Error& error) {
    return error.rule();
  }
}

// A mark comes before the free, or is refused: it never makes the block live again.
const Register marked(
    "uses.mark_against_free", "M6 M1",
    [] {
      TinyDevice device(by_hand());
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
      TinyDevice device(by_hand());
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
      TinyDevice device(by_hand());
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
      while (device.backend().run_next()) {
      }
      INTERLEAVE_EXPECT(done);
      device.streams().end_lease(nullptr, user.slot);
    },
    with_device());

const Register own_cache(
    "out_of_memory.cached_by_itself", "O1 T1",
    [] {
      TinyDevice device(by_hand());
      TinyContext mine(device);
      Allocator& memory = device.memory();
      memory.deallocate(mine.get(), memory.allocate(mine.get(), 1, kUnit, kUnit), OnMisuse::raise);
      thread owner([&] { INTERLEAVE_EXPECT(memory.allocate(mine.get(), 1, kGranule, kUnit) != nullptr); });
      owner.join();
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
