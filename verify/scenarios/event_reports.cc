// An event's slot: two threads that mark, report, ask and give back.
#include "at_once.h"
#include "tiny_device.h"

namespace millrace::verify {
namespace {

// Each marks and reports: what counts is the newest marking, and its report.
const Register two_report("event_slot.two_report", "V1 V2", [] {
  EventSlot slot;
  static_cast<void>(slot.take());
  std::uint64_t numbers[2] = {};
  at_once([&](int me) {
    numbers[me] = slot.marked({me + 1, 5});
    slot.reached(numbers[me], sync::Clock::time_point());
    const EventSlot::Stamp stamp = slot.stamp();
    INTERLEAVE_EXPECT(stamp.records >= 1);
    if (stamp.records == numbers[me]) INTERLEAVE_EXPECT(stamp.reached);
  });
  INTERLEAVE_EXPECT(slot.stamp().reached && slot.stamp().records == 2);
  INTERLEAVE_EXPECT(slot.point().queue == (numbers[0] > numbers[1] ? 1 : 2));
});

// Of the driver's event there is one: who takes it out has it to return.
const Register two_take_native("event_slot.two_take_native", "V6", [] {
  EventSlot slot;
  static_cast<void>(slot.take());
  int lent = 0;
  EventSlot::Native native{&lent, 1};
  const std::uint64_t number = slot.marked({1, 5});
  INTERLEAVE_EXPECT(slot.keep_native(number, native));
  bool taken[2] = {};
  at_once([&](int me) {
    const EventSlot::Marking marking = slot.marking();
    INTERLEAVE_EXPECT(marking.number == number && (marking.native == nullptr || marking.native == &lent));
    taken[me] = slot.take_native(EventSlot::Which::any).event != nullptr;
  });
  INTERLEAVE_EXPECT(taken[0] != taken[1]);
  INTERLEAVE_EXPECT(!slot.has_native());
});

// Threads without a context give theirs back to the pool; both are there for the next one.
const Register two_put(
    "event.two_give_back", "V4",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      EventPool::Lease leases[2];
      for (EventPool::Lease& lease : leases) lease = device.events().get(mine.get(), "event");
      at_once([&](int me) { device.events().put(nullptr, leases[me]); });
      for (EventPool::Lease& lease : leases) lease = device.events().get(mine.get(), "event");
      INTERLEAVE_EXPECT(leases[0].slot != leases[1].slot);
      for (const EventPool::Lease lease : leases) device.events().put(&mine.get(), lease);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
