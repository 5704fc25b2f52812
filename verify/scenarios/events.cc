// Events from the pool: recorded, waited for, asked and given back, by any threads.
#include <optional>

#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// A device with two streams and one event.
struct OneEvent {
  explicit OneEvent(TinyBackend::Runs runs = TinyBackend::Runs::on_its_thread)
      : device(options(runs)), mine(device, 1), lease(device.events().get(mine.get(), "event")) {}
  static TinyOptions options(TinyBackend::Runs runs) {
    TinyOptions options;
    options.streams = 3;
    options.runs = runs;
    return options;
  }
  EventSlot& slot() { return device.events().slot(lease.slot); }
  void record(StreamId stream) { device.streams().set_mark(stream, slot(), "record"); }

  TinyDevice device;
  TinyContext mine;
  EventPool::Lease lease;
};

// Who waits for an event that is recorded again waits for the one or the other, never for a mixture.
const Register re_record(
    "event.recorded_again_against_wait", "V1 V2 V3",
    [] {
      OneEvent one;
      const StreamId first = one.device.streams().default_stream();
      const StreamId second = one.device.streams().lease(one.mine.get(), "lease");
      for (int i = 0; i < 2; ++i) one.device.streams().record(first, task(), "run"), one.record(first);
      one.device.streams().commit(first, "commit");
      thread recorder([&] {
        one.device.streams().record(second, task(), "run");
        one.record(second);
        one.device.streams().commit(second, "commit");
      });
      const TimelinePoint point = one.slot().point();
      INTERLEAVE_EXPECT((point.queue == first.slot && point.value == 2) ||
                        (point.queue == second.slot && point.value == 1));
      one.device.streams().wait(point, std::nullopt, "wait");
      recorder.join();
      INTERLEAVE_EXPECT(one.slot().point().queue == second.slot);
      one.device.events().put(nullptr, one.lease);
      one.device.streams().end_lease(nullptr, second.slot);
    },
    with_device());

// Once the timeline says so, the event's time is there; and it is the newest marking's.
const Register time_there(
    "event.time_when_completed", "V2 V3 S2",
    [] {
      OneEvent one;
      const StreamId stream = one.device.streams().default_stream();
      one.device.streams().record(stream, task(), "run");
      one.record(stream);
      one.device.streams().commit(stream, "commit");
      const TimelinePoint point = one.slot().point();
      one.device.streams().wait(point, std::nullopt, "wait");
      const EventSlot::Stamp stamp = one.slot().stamp();
      INTERLEAVE_EXPECT(stamp.records == 1 && stamp.reached);
      one.device.events().put(nullptr, one.lease);
    },
    with_device());

const Register put_against_close(
    "event.given_back_against_close", "V4 D1 X1",
    [] {
      OneEvent one;
      thread owner([&] { one.device.events().put(&one.mine.get(), one.lease); });
      one.device.close();
      owner.join();
    },
    with_device());

const Register take_against_close(
    "event.taken_against_close", "V4 D1 X1",
    [] {
      TinyDevice device;
      TinyContext mine(device);
      device.events().put(&mine.get(), device.events().get(mine.get(), "event"));
      thread owner([&] {
        try {
          const EventPool::Lease lease = device.events().get(mine.get(), "event");
          device.events().put(&mine.get(), lease);
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.code() == ErrorCode::Closed);
        }
      });
      device.close();
      owner.join();
    },
    with_device());

// Each lease has one end: a second one does nothing, and what was marked before is not the next lease's.
const Register reuse(
    "event.slot_used_again", "V2 V4",
    [] {
      OneEvent one(TinyBackend::Runs::by_hand);
      const StreamId stream = one.device.streams().default_stream();
      one.device.streams().record(stream, task(), "run");
      one.record(stream);
      one.device.streams().commit(stream, "commit");
      thread device_runs([&] { one.device.backend().run_next(); });
      for (int i = 0; i < 2; ++i) one.device.events().put(&one.mine.get(), one.lease);
      const EventPool::Lease next = one.device.events().get(one.mine.get(), "event");
      one.device.events().put(&one.mine.get(), one.lease);
      INTERLEAVE_EXPECT(next.slot == one.lease.slot && next.number != one.lease.number);
      INTERLEAVE_EXPECT(one.slot().stamp().records == 0 && one.slot().point().value == 0);
      const EventPool::Lease another = one.device.events().get(one.mine.get(), "event");
      INTERLEAVE_EXPECT(another.slot != next.slot);
      device_runs.join();
      one.device.events().put(&one.mine.get(), next);
      one.device.events().put(&one.mine.get(), another);
    },
    with_device());

// There are two. Who finds none has met the other thread at work with both, and gets one after.
const Register two_take(
    "event.two_take_all", "V4 V5 X4",
    [] {
      TinyDevice device;
      TinyContext mine(device, 1), other(device, 2);
      const auto take = [&](TinyContext& context) -> std::optional<EventPool::Lease> {
        try {
          const EventPool::Lease lease = device.events().get(context.get(), "event");
          static_cast<void>(device.events().slot(lease.slot).point());
          return lease;
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.code() == ErrorCode::PoolExhausted);
          return std::nullopt;
        }
      };
      std::optional<EventPool::Lease> theirs;
      thread taker([&] { theirs = take(other); });
      std::optional<EventPool::Lease> ours = take(mine);
      taker.join();
      INTERLEAVE_EXPECT(ours || theirs);
      if (!ours) ours = take(mine);
      if (!theirs) theirs = take(other);
      INTERLEAVE_EXPECT(ours && theirs && ours->slot != theirs->slot);
      device.events().put(&mine.get(), *ours);
      device.events().put(&other.get(), *theirs);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
