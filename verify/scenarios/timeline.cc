// What a stream's timeline says, and what is so then.
#include "stream/timeline.h"

#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

// The backend's part is run by the thread that has committed: what is beside it is the one that asks.

const Register reached(
    "timeline.what_is_reached", "S1 S2 B3",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      const StreamId stream = device.streams().default_stream();
      const Timeline& timeline = device.streams().timeline(stream.slot);
      int done = 0;
      device.streams().record(stream, task([&] { done = 1; }), "test");
      const sync::Ref<BufferState> buffer = device.streams().current_buffer(stream, "test");
      thread asker([&] {
        if (timeline.completed() < 1) return;
        INTERLEAVE_EXPECT(done == 1);
        INTERLEAVE_EXPECT(is_final(buffer->status()));
        INTERLEAVE_EXPECT(timeline.submitted() >= 1);
      });
      static_cast<void>(device.streams().commit(stream, "test"));
      INTERLEAVE_EXPECT(device.backend().run_next());
      asker.join();
    },
    with_device());

const Register final_status(
    "timeline.what_a_final_status_says", "B3",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      const StreamId stream = device.streams().default_stream();
      int done = 0;
      device.streams().record(stream, task([&] { done = 1; }), "test");
      const sync::Ref<BufferState> buffer = device.streams().current_buffer(stream, "test");
      thread asker([&] {
        const BufferStatus status = buffer->status();
        if (status != BufferStatus::recording) INTERLEAVE_EXPECT(buffer->end().value == 1);
        if (is_final(status)) INTERLEAVE_EXPECT(done == 1);
      });
      static_cast<void>(device.streams().commit(stream, "test"));
      INTERLEAVE_EXPECT(device.backend().run_next());
      asker.join();
    },
    with_device());

const Register failed(
    "timeline.what_has_failed", "S4",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      device.backend().refuse(Status(ErrorCode::WorkFailed, "refused"));
      const StreamId stream = device.streams().default_stream();
      device.streams().record(stream, task([] {}), "test");
      thread asker([&] {
        if (device.streams().is_completed({stream.slot, 1}))
          INTERLEAVE_EXPECT(!device.streams().status_of({stream.slot, 1}).ok());
      });
      static_cast<void>(device.streams().commit(stream, "test"));
      asker.join();
    },
    with_device());

const Register waited(
    "timeline.waited_for", "S1 S2",
    [] {
      TinyDevice device;
      const StreamId stream = device.streams().default_stream();
      int done = 0;
      device.streams().record(stream, task([&] { done = 1; }), "test");
      static_cast<void>(device.streams().commit(stream, "test"));
      INTERLEAVE_EXPECT(device.streams().wait_until_completed({stream.slot, 1}, std::nullopt));
      INTERLEAVE_EXPECT(done == 1);
    },
    with_device());

// A value in the middle of a buffer, which is all that is done.
const Register within(
    "timeline.waited_for_within_a_buffer", "S1 S2",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext mine(device);
      const StreamId stream = device.streams().default_stream();
      const EventPool::Lease event = device.events().get(mine.get(), "event");
      int done = 0;
      device.streams().record(stream, task([&] { done = 1; }), "test");
      device.streams().set_mark(stream, device.events().slot(event.slot), "test");
      device.streams().record(stream, task([] {}), "test");
      static_cast<void>(device.streams().commit(stream, "test"));
      thread runs([&] { INTERLEAVE_EXPECT(device.backend().run_next()); });
      INTERLEAVE_EXPECT(device.streams().wait_until_completed({stream.slot, 1}, std::nullopt));
      INTERLEAVE_EXPECT(done == 1);
      runs.join();
      INTERLEAVE_EXPECT(device.backend().run_next());
      device.events().put(nullptr, event);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
