// Leases that end with work recorded, beside the next lease, the close of the device, or a wait in vain.
#include <chrono>

#include "stream/lease.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

TinyOptions one_stream(ExhaustionPolicy exhaustion = ExhaustionPolicy::fail) {
  return by_hand({.streams = 2, .exhaustion = exhaustion});
}

// What the ended lease has recorded is given up before the slot is the next one's, and nothing of the next
// one's.
const Register next(
    "lease.recorded_work_against_the_next", "S6 S8",
    [] {
      TinyDevice device(one_stream(ExhaustionPolicy::wait));
      TinyContext mine(device, 1), other(device, 2);
      const StreamId held = device.streams().lease(other.get(), "lease");
      bool ran_before = false, ran = false;
      device.streams().record(held, task([&] { ran_before = true; }), "run");
      thread holder([&] { device.streams().end_lease(nullptr, held.slot); });
      const StreamId taken = device.streams().lease(mine.get(), "lease");
      device.streams().record(taken, task([&] { ran = true; }), "run");
      holder.join();
      device.streams().commit(taken, "commit");
      device.backend().run_all();
      INTERLEAVE_EXPECT(ran && !ran_before);
      device.streams().end_lease(nullptr, taken.slot);
    },
    with_device());

// The slot goes to the thread, or past a context that the closing device has retired.
const Register ended(
    "lease.ended_against_close", "S6 X1 D1",
    [] {
      TinyDevice device(one_stream());
      TinyContext mine(device, 1);
      const StreamId held = device.streams().lease(mine.get(), "lease");
      thread owner([&] { device.streams().end_lease(&mine.get(), held.slot); });
      device.close();
      owner.join();
    },
    with_device());

const Register taken(
    "lease.taken_against_close", "S6 X1 D1",
    [] {
      TinyDevice device(one_stream());
      TinyContext mine(device, 1);
      device.streams().end_lease(&mine.get(), device.streams().lease(mine.get(), "lease").slot);
      thread owner([&] {
        try {
          device.streams().end_lease(&mine.get(), device.streams().lease(mine.get(), "lease").slot);
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.code() == ErrorCode::Closed);
        }
      });
      device.close();
      owner.join();
    },
    with_device());

// The slot that a thread has parked is its next lease's, or whoever's finds no other: one of the two.
const Register taken_back(
    "lease.parked_and_taken_back", "S6 X1 X4",
    [] {
      TinyDevice device(one_stream());
      TinyContext mine(device, 1), other(device, 2);
      device.streams().end_lease(&other.get(), device.streams().lease(other.get(), "lease").slot);
      const auto try_lease = [&](TinyContext& context) {
        try {
          return device.streams().lease(context.get(), "lease").slot;
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.code() == ErrorCode::PoolExhausted);
          return 0;
        }
      };
      int theirs = 0;
      thread owner([&] { theirs = try_lease(other); });
      const int ours = try_lease(mine);
      owner.join();
      INTERLEAVE_EXPECT(ours + theirs == 1);
      device.streams().end_lease(nullptr, 1);
    },
    Expectation::bounded("as lease.parked_against_waiting"), with_device());

// Another thread commits what waits, and then what it waits for, beside the wait.
const Register committed_by_another(
    "stream.waits_and_is_committed_by_another", "S5 S9",
    [] {
      TinyOptions options = one_stream();
      TinyDevice device(options);
      TinyContext mine(device, 1);
      const StreamId first = device.streams().default_stream();
      const StreamId second = device.streams().lease(mine.get(), "lease");
      device.streams().record(first, task([] {}), "run");
      thread committer([&] {
        device.streams().commit(second, "commit");
        device.streams().commit(first, "commit");
      });
      device.streams().wait_for(second, {first.slot, 1}, "wait_event");
      committer.join();
      device.streams().commit(second, "commit");
      device.backend().run_all();
      INTERLEAVE_EXPECT(device.streams().timeline(second.slot).completed() == 1);
      device.streams().end_lease(nullptr, second.slot);
    },
    with_device());

// A slot that is parked while somebody waits is theirs, and then the next one's: never both at once.
const Register one_at_a_time(
    "lease.ended_against_waiting", "S6 S10 X1",
    [] {
      TinyDevice device(one_stream(ExhaustionPolicy::wait));
      TinyContext mine(device, 1), other(device, 2);
      const StreamId held = device.streams().lease(other.get(), "lease");
      thread holder([&] { device.streams().end_lease(&other.get(), held.slot); });
      const StreamId taken = device.streams().lease(mine.get(), "lease");
      holder.join();
      bool ended = false;
      thread third([&] {
        const StreamId next = device.streams().lease(other.get(), "lease");
        INTERLEAVE_EXPECT(ended);
        device.streams().end_lease(nullptr, next.slot);
      });
      ended = true;
      device.streams().end_lease(nullptr, taken.slot);
      third.join();
    },
    Expectation::bounded("as lease.parked_against_waiting"), with_device());

constexpr LeaseTable::Kind kParked{"streams", "streams", false, true};

// Who is out of time has no slot, and is no longer one for whom nothing is parked.
const Register in_vain(
    "lease.waits_in_vain", "S6 S10",
    [] {
      TinyDevice device(one_stream());
      TinyContext mine(device, 1);
      LeaseTable table(device.core(), 1, 1, ExhaustionPolicy::wait, std::chrono::milliseconds(1), kParked);
      int held = -1;
      INTERLEAVE_EXPECT(table.acquire(true, &held).ok());
      thread waiter([&] {
        int slot = -1;
        const Status status = table.acquire(true, &slot);
        INTERLEAVE_EXPECT(!status.ok() && status.error().code() == ErrorCode::TimedOut && slot == -1);
      });
      waiter.join();
      const Context::Hold hold = mine.get().hold();
      auto& part = static_cast<LeasePart&>(*mine.get().part(LayerId::streams));
      INTERLEAVE_EXPECT(table.park(part, held));
    },
    with_device());

// A slot that came back is had by who waited for it, or by who asks next.
const Register time_out(
    "lease.returned_against_the_time_out", "S6",
    [] {
      TinyDevice device(one_stream());
      LeaseTable table(device.core(), 1, 1, ExhaustionPolicy::wait, std::chrono::milliseconds(1), kParked);
      int held = -1, slot = -1;
      INTERLEAVE_EXPECT(table.acquire(true, &held).ok());
      thread holder([&] { table.add_free(held); });
      const Status status = table.acquire(true, &slot);
      holder.join();
      INTERLEAVE_EXPECT(status.ok() ? slot == 1 : status.error().code() == ErrorCode::TimedOut);
      if (!status.ok()) INTERLEAVE_EXPECT(table.acquire(true, &slot).ok() && slot == 1);
      table.add_free(slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
