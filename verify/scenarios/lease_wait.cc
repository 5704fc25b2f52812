// Slots of streams: who waits for one, who shares one, and who parks one or leaves it behind.
#include <chrono>

#include "stream/lease.h"
#include "sync/asymmetric_fence.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

// One slot, parked by one thread while the other one waits for it.
void park_beside_who_waits(TinyDevice& device) {
  TinyContext other(device, 2);
  LeaseTable table(device.core(), 1, 1, ExhaustionPolicy::wait, std::chrono::milliseconds::max(),
                   {"streams", "streams", false, true});
  auto& part = static_cast<LeasePart&>(*other.get().part(LayerId::streams));
  int theirs = -1, ours = -1;
  INTERLEAVE_EXPECT(table.acquire(true, &theirs).ok() && theirs == 1);
  // Taken here: an owner and a thief that get into each other's way may do so for any number of times.
  Context::Hold hold = other.get().hold();
  thread holder([&] {
    const bool is_parked = table.park(part, theirs);
    hold.leave();
    if (!is_parked) table.add_free(theirs);
  });
  INTERLEAVE_EXPECT(table.acquire(true, &ours).ok() && ours == 1);
  holder.join();
}

const char* const kRounds =
    "who takes back what is parked locks the list of contexts in every round, of which there are any number "
    "until its owner is out of its context";

const Register parked(
    "lease.parked_against_waiting", "S6 S10 F1",
    [] {
      TinyDevice device;
      park_beside_who_waits(device);
    },
    Expectation::bounded(kRounds), with_device());

// Without membarrier the owner pays for the order.
const Register without(
    "lease.parked_against_waiting_without_membarrier", "S6 S10 F1",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      sync::detail::fences_are_asymmetric.store(false, std::memory_order_relaxed);
      park_beside_who_waits(device);
    },
    Expectation::bounded("as lease.parked_against_waiting"), with_device());

// What is parked with a thread is there again when the thread has ended.
const Register exits(
    "lease.parked_by_who_exits", "S6 S10 X3",
    [] {
      TinyDevice device({.streams = 2});
      TinyContext mine(device, 1), other(device, 2);
      const StreamId held = device.streams().lease(other.get(), "lease");
      device.streams().end_lease(&other.get(), held.slot);
      thread owner([&] { other.end(); });
      owner.join();
      const StreamId taken = device.streams().lease(mine.get(), "lease");
      INTERLEAVE_EXPECT(taken.slot == held.slot);
      device.streams().end_lease(nullptr, taken.slot);
    },
    with_device());

// Who shares a slot has its lease, or the next one where the last holder has left.
const Register shared(
    "lease.shared_against_end", "S6 S8",
    [] {
      TinyDevice device({.streams = 2, .exhaustion = ExhaustionPolicy::share});
      TinyContext mine(device, 1), other(device, 2);
      const StreamId held = device.streams().lease(other.get(), "lease");
      thread holder([&] { device.streams().end_lease(nullptr, held.slot); });
      const StreamId taken = device.streams().lease(mine.get(), "lease");
      holder.join();
      if (taken.slot == held.slot) {
        device.streams().check_handle(taken, "check");
        // Alone or not, it is shared with who comes next, and lasts for them.
        const StreamId also = device.streams().lease(mine.get(), "lease");
        device.streams().end_lease(nullptr, taken.slot);
        device.streams().check_handle(also, "check");
        device.streams().end_lease(nullptr, also.slot);
      }
      const StreamId next = device.streams().lease(mine.get(), "lease");
      INTERLEAVE_EXPECT(next.slot == held.slot && next.generation != held.generation);
      device.streams().end_lease(nullptr, next.slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
