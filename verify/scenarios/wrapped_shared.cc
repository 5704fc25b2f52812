// A stream that others put work on, covered and asked about by two threads.
#include "one_stream.h"

namespace millrace::verify {
namespace {

struct OneWrapped {
  OneWrapped()
      : device(by_hand({.streams = 4, .wrapped_streams = 1})),
        mine(device, 1),
        wrapped(device.streams().wrap(&driver_stream, StreamLifetime::lease, "wrap")) {}
  void run_all() { device.backend().run_all(); }
  void end() {
    device.streams().end_lease(nullptr, wrapped.slot);
    run_all();
  }

  TinyDevice device;
  TinyContext mine;
  int driver_stream = 0;
  const StreamId wrapped;
};

// Each gets a value that is reached when what was there is done.
const Register two_cover(
    "wrapped.two_cover", "S12",
    [] {
      OneWrapped one;
      const Timeline& timeline = one.device.streams().timeline(one.wrapped.slot);
      std::uint64_t asked[2] = {};
      at_once([&](int me) {
        asked[me] = timeline.covering();
        one.device.streams().cover({one.wrapped.slot, asked[me]});
      });
      one.run_all();
      INTERLEAVE_EXPECT(timeline.completed() >= std::max(asked[0], asked[1]));
      one.end();
    },
    with_device());

// As who is out of memory has it covered, and as calls look before they put work on it.
const Register two_ask(
    "wrapped.two_ask", "S12 S13 S14",
    [] {
      OneWrapped one;
      const sync::Ref<BufferState> buffer = one.device.streams().current_buffer(one.wrapped, "current");
      StreamState& state = buffer->stream();
      std::uint64_t covered[2] = {};
      at_once([&](int me) {
        state.check_wrapped(one.wrapped.generation, "check");
        INTERLEAVE_EXPECT(state.is_idle());
        INTERLEAVE_EXPECT(one.device.streams().wrapped_number(one.wrapped.slot) ==
                          reinterpret_cast<std::uintptr_t>(&one.driver_stream));
        Aftermath after;
        covered[me] = state.cover_now(after);
        INTERLEAVE_EXPECT(!after.settle && after.finished.empty());
      });
      one.run_all();
      INTERLEAVE_EXPECT(one.device.streams().timeline(one.wrapped.slot).completed() >=
                        std::max(covered[0], covered[1]));
      one.end();
    },
    with_device());

// Waits that memory inserts are submitted at once there, and tell who waits for those values.
const Register two_insert(
    "wrapped.two_insert_waits", "S7 S9 S12",
    [] {
      OneWrapped one;
      StreamPool& streams = one.device.streams();
      StreamId waiting[2];
      int ran = 0;
      streams.record(streams.default_stream(), task(), "run");
      streams.commit(streams.default_stream(), "commit");
      for (std::uint64_t i = 0; i < 2; ++i) {
        waiting[i] = streams.lease(one.mine.get(), "lease");
        streams.wait_for(waiting[i], {one.wrapped.slot, i + 1}, "wait");
        streams.record(waiting[i], task([&] { ++ran; }), "run");
        streams.commit(waiting[i], "commit");
      }
      at_once([&](int) { INTERLEAVE_EXPECT(streams.try_insert_wait(one.wrapped.slot, {0, 1})); });
      one.run_all();
      INTERLEAVE_EXPECT(ran == 2);
      for (const StreamId each : waiting) streams.end_lease(nullptr, each.slot);
      one.end();
    },
    with_device());

// What the backend holds back comes after what others put on the stream meanwhile.
const Register two_held_back(
    "wrapped.two_cover_what_is_held_back", "S12",
    [] {
      OneWrapped one;
      const Timeline& timeline = one.device.streams().timeline(one.wrapped.slot);
      one.device.backend().hold_back(true);
      at_once([&](int) {
        one.device.streams().cover({one.wrapped.slot, timeline.covering()});
        static_cast<void>(timeline.trails());
      });
      INTERLEAVE_EXPECT(timeline.trails());
      one.device.backend().hold_back(false);
      one.run_all();
      INTERLEAVE_EXPECT(!timeline.trails());
      one.end();
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
