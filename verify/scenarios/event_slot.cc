// An event's slot: what is marked, asked and reported by several threads.
#include "event/slot.h"

#include "scenario.h"

namespace millrace::verify {
namespace {

using interleave::thread;

const Register marked("event_slot.marked_against_asked", "V1", [] {
  EventSlot slot;
  static_cast<void>(slot.take());
  int recorded = 0;
  thread marker([&] {
    recorded = 1;
    static_cast<void>(slot.marked({1, 5}));
    static_cast<void>(slot.marked({2, 7}));
  });
  const TimelinePoint point = slot.point();
  INTERLEAVE_EXPECT(point.value == 0 || (point.queue == 1 && point.value == 5) ||
                    (point.queue == 2 && point.value == 7));
  if (point.value != 0) INTERLEAVE_EXPECT(recorded == 1);
  marker.join();
});

const Register two_mark("event_slot.marked_twice", "V1 V2", [] {
  EventSlot slot;
  static_cast<void>(slot.take());
  std::uint64_t numbers[2] = {};
  thread marker([&] { numbers[0] = slot.marked({1, 5}); });
  numbers[1] = slot.marked({2, 7});
  marker.join();
  INTERLEAVE_EXPECT(numbers[0] != numbers[1]);
  // The word is the newest marking's.
  INTERLEAVE_EXPECT(slot.point().value == (numbers[0] > numbers[1] ? 5 : 7));
});

const Register old_report("event_slot.old_report", "V2", [] {
  EventSlot slot;
  static_cast<void>(slot.take());
  const std::uint64_t first = slot.marked({1, 5});
  thread reporter([&] { slot.reached(first, sync::Clock::time_point()); });
  static_cast<void>(slot.marked({1, 6}));
  INTERLEAVE_EXPECT(!slot.stamp().reached);
  reporter.join();
  INTERLEAVE_EXPECT(!slot.stamp().reached && slot.stamp().records == 2);
});

const Register native("event_slot.native_against_record", "V6", [] {
  EventSlot slot;
  static_cast<void>(slot.take());
  const std::uint64_t first = slot.marked({1, 5});
  int lent[2] = {};
  EventSlot::Native left[2];
  const auto keep = [&](int which) {
    EventSlot::Native native{&lent[which], 1};
    static_cast<void>(slot.keep_native(first, native));
    left[which] = native;  // what has to be returned
  };
  thread asker([&] { keep(1); });
  keep(0);
  static_cast<void>(slot.marked({1, 6}));
  EventSlot::Native old;
  if (slot.has_native()) old = slot.take_native(EventSlot::Which::old);
  asker.join();
  // Each of the two is returned once.
  int returned = 0;
  for (const EventSlot::Native& each : {left[0], left[1], old}) returned += each.event != nullptr;
  INTERLEAVE_EXPECT(returned == 2);
  INTERLEAVE_EXPECT(slot.marking().native == nullptr);
});

const Register replaced("event_slot.native_replaced", "V6", [] {
  EventSlot slot;
  static_cast<void>(slot.take());
  int lent[2] = {};
  EventSlot::Native first{&lent[0], 1}, second{&lent[1], 1};
  INTERLEAVE_EXPECT(slot.keep_native(slot.marked({1, 5}), first) && first.event == nullptr);
  const std::uint64_t newest = slot.marked({1, 6});
  thread asker([&] { INTERLEAVE_EXPECT(slot.keep_native(newest, second)); });
  EventSlot::Native old;
  if (slot.has_native()) old = slot.take_native(EventSlot::Which::old);
  asker.join();
  // Whoever came first has the old one to return.
  INTERLEAVE_EXPECT((old.event == &lent[0]) != (second.event == &lent[0]));
  INTERLEAVE_EXPECT(slot.marking().native == &lent[1]);
});

}  // namespace
}  // namespace millrace::verify
