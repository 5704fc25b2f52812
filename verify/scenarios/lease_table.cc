// Leases: two threads that wait for one slot, park their own, share another's, and ask for the figures.
#include "at_once.h"
#include "stream/lease.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

constexpr LeaseTable::Kind kKind{.what = "slots", .option = "slots"};

// One slot, and two who wait for it: each has it alone.
const Register two_wait(
    "lease_table.two_wait", "S6",
    [] {
      TinyDevice device;
      LeaseTable table(device.core(), 1, 1, ExhaustionPolicy::wait, std::chrono::milliseconds::max(), kKind);
      int held = 0, holders = 0;
      INTERLEAVE_EXPECT(table.acquire(false, &held).ok() && held == 1);
      interleave::thread holder([&] { table.add_free(held); });
      at_once([&](int) {
        int slot = 0;
        INTERLEAVE_EXPECT(table.acquire(true, &slot).ok() && slot == 1);
        ++holders;  // alone with it
        table.add_free(slot);
      });
      holder.join();
      INTERLEAVE_EXPECT(holders == 2);
    },
    with_device());

// With a limit each has it, or has waited until the limit.
const Register with_limit(
    "lease_table.two_wait_with_a_limit", "S6",
    [] {
      TinyDevice device;
      LeaseTable table(device.core(), 1, 1, ExhaustionPolicy::wait, std::chrono::milliseconds(1), kKind);
      int held = 0, holders = 0;
      INTERLEAVE_EXPECT(table.acquire(false, &held).ok());
      at_once([&](int) {
        int slot = 0;
        const Status status = table.acquire(true, &slot);
        if (!status.ok()) {
          INTERLEAVE_EXPECT(status.error().code() == ErrorCode::TimedOut);
          return;
        }
        ++holders;
        table.add_free(slot);
      });
      INTERLEAVE_EXPECT(holders == 0);  // nobody gives it back
    },
    with_device());

// A slot that a thread has parked is its own next one.
const Register two_park(
    "lease_table.two_park", "S6 S10",
    [] {
      TinyDevice device({.streams = 3});
      TinyContext first(device, 1), second(device, 2);
      TinyContext* const contexts[] = {&first, &second};
      StreamId held[2];
      for (int i = 0; i < 2; ++i) held[i] = device.streams().lease(contexts[i]->get(), "lease");
      at_once([&](int me) {
        Context& context = contexts[me]->get();
        device.streams().end_lease(&context, held[me].slot);
        const StreamId next = device.streams().lease(context, "lease");
        INTERLEAVE_EXPECT(next.slot == held[me].slot && next.generation == held[me].generation + 1);
        device.streams().end_lease(&context, next.slot);
      });
    },
    with_device());

// Two who find no slot hold the one that a third has, with one lease.
const Register two_share(
    "lease_table.two_share", "S6 S8",
    [] {
      TinyDevice device({.streams = 2, .exhaustion = ExhaustionPolicy::share});
      TinyContext first(device, 1), second(device, 2), holder(device, 3);
      TinyContext* const contexts[] = {&first, &second};
      const StreamId held = device.streams().lease(holder.get(), "lease");
      at_once([&](int me) {
        const StreamId shared = device.streams().lease(contexts[me]->get(), "lease");
        INTERLEAVE_EXPECT(shared.slot == held.slot && shared.generation == held.generation);
        device.streams().end_lease(nullptr, shared.slot);
      });
      device.streams().end_lease(nullptr, held.slot);
      INTERLEAVE_EXPECT(device.streams().stats().leases == 3);
    },
    with_device());

// The figures count each lease once, whoever asks beside its end.
const Register two_ask(
    "lease_table.two_ask_for_figures", "D2",
    [] {
      TinyDevice device;
      TinyContext mine(device, 1);
      for (int i = 0; i < 2; ++i) {
        const StreamId stream = device.streams().lease(mine.get(), "lease");
        device.streams().end_lease(&mine.get(), stream.slot);
      }
      interleave::thread ends([&] { mine.end(); });
      at_once([&](int) { INTERLEAVE_EXPECT(device.streams().stats().leases == 2); });
      ends.join();
    },
    with_device());

// Nothing is parked while somebody waits: it comes back to the table, for the one who waits.
const Register two_park_beside_waiting(
    "lease_table.two_park_while_one_waits", "S6 S10",
    [] {
      TinyDevice device;
      TinyContext first(device, 1), second(device, 2);
      LeaseTable table(device.core(), 1, 2, ExhaustionPolicy::wait, std::chrono::milliseconds(1), kKind);
      int held[2] = {};
      for (int& slot : held) INTERLEAVE_EXPECT(table.acquire(false, &slot).ok());
      interleave::thread waits([&] {
        int slot = 0;
        const Status status = table.acquire(true, &slot);
        INTERLEAVE_EXPECT(status.ok() ? slot == 1 || slot == 2
                                      : status.error().code() == ErrorCode::TimedOut);
      });
      at_once([&](int me) {
        Context& context = (me == 0 ? first : second).get();
        const Context::Hold hold = context.hold();
        auto& part = static_cast<LeasePart&>(*context.part(LayerId::streams));
        if (!table.park(part, held[me])) table.add_free(held[me]);
      });
      waits.join();
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
