// The out-of-memory procedure: what is free anywhere is found, and the limit is kept.
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

/// Null where there is none to be had.
void* try_granule(TinyDevice& device, TinyContext& context, int slot) {
  try {
    return device.memory().allocate(context.get(), slot, kGranule, kUnit);
  } catch (const OutOfMemoryError&) {
    return nullptr;
  }
}

const Register two_take_the_last("out_of_memory.two_take_the_last", "M2 O1 M1", [] {
  TinyDevice device(at_limit(1));
  TinyContext mine(device, 1), other(device, 2);
  void* theirs = nullptr;
  thread taker([&] { theirs = try_granule(device, other, 2); });
  void* const ours = try_granule(device, mine, 1);
  taker.join();
  INTERLEAVE_EXPECT((ours == nullptr) != (theirs == nullptr));
  INTERLEAVE_EXPECT(device.backend().committed() == kGranule);
  device.memory().check_accounting();
}, with_device());

// What another thread's cache holds is enough, whatever that thread does meanwhile.
const Register cached_elsewhere("out_of_memory.cached_by_another", "O1 X4 T1 M2", [] {
  TinyDevice device(at_limit(1));
  TinyContext mine(device, 1), other(device, 2);
  void* const block = device.memory().allocate(other.get(), 2, kUnit, kUnit);
  thread owner([&] { device.memory().deallocate(other.get(), block, OnMisuse::raise); });
  owner.join();
  INTERLEAVE_EXPECT(try_granule(device, mine, 1) != nullptr);
}, with_device());

const Register freed_meanwhile("out_of_memory.freed_meanwhile", "O1 X4 T1 M1 M2", [] {
  TinyDevice device(at_limit(1));
  TinyContext mine(device, 1), other(device, 2);
  void* const block = device.memory().allocate(other.get(), 2, kUnit, kUnit);
  thread owner([&] { device.memory().deallocate(other.get(), block, OnMisuse::raise); });
  void* const granule = try_granule(device, mine, 1);
  owner.join();
  if (granule == nullptr) INTERLEAVE_EXPECT(try_granule(device, mine, 1) != nullptr);
  device.memory().check_accounting();
}, with_device());

// What two threads have free is enough for both. Who is refused met the other one at work, and finds it after.
const Register two_at_once("out_of_memory.two_at_once", "O1 X4 T1 M1 M2", [] {
  TinyDevice device(at_limit(2));
  TinyContext mine(device, 1), other(device, 2);
  device.memory().deallocate(mine.get(), device.memory().allocate(mine.get(), 1, kUnit, kUnit),
                             OnMisuse::raise);
  device.memory().deallocate(other.get(), device.memory().allocate(other.get(), 2, kUnit, kUnit),
                             OnMisuse::raise);
  void* theirs = nullptr;
  thread taker([&] { theirs = try_granule(device, other, 2); });
  void* ours = try_granule(device, mine, 1);
  taker.join();
  if (ours == nullptr) ours = try_granule(device, mine, 1);
  if (theirs == nullptr) theirs = try_granule(device, other, 2);
  INTERLEAVE_EXPECT(ours != nullptr && theirs != nullptr);
  INTERLEAVE_EXPECT(device.backend().committed() == 2 * kGranule);
}, with_device());

// What other streams' work still uses is waited for: it is committed, so it ends.
const Register used_elsewhere("out_of_memory.used_until_completed", "A1 O1 M2", [] {
  TinyOptions options = at_limit(1);
  options.runs = TinyBackend::Runs::by_hand;
  TinyDevice device(options);
  TinyContext mine(device);
  void* const block = device.memory().allocate(mine.get(), 1, kUnit, kUnit);
  const StreamId used_on = device.streams().lease(mine.get(), "lease");
  device.streams().record(used_on, {.work = TaskWork{[] {}}, .name = "task", .uses = {}, .place = {}}, "run");
  device.memory().record_use(block, used_on.slot, false, "record_use");
  device.streams().commit(used_on, "commit");
  device.memory().deallocate(mine.get(), block, OnMisuse::raise);
  thread runs([&] { device.backend().run_next(); });
  INTERLEAVE_EXPECT(try_granule(device, mine, 1) != nullptr);
  runs.join();
  device.streams().end_lease(&mine.get(), used_on.slot);
}, with_device());

}  // namespace
}  // namespace millrace::verify
