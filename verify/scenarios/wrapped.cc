// Streams that others put work on.
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

TinyOptions with_wrapped() {
  return by_hand({.streams = 1, .wrapped_streams = 1});
}

// Whoever asks beside the end of the lease gets a value that is reached.
const Register covered(
    "wrapped.covered_against_the_end_of_the_lease", "S12",
    [] {
      TinyDevice device(with_wrapped());
      int driver_stream = 0;
      const StreamId wrapped = device.streams().wrap(&driver_stream, StreamLifetime::lease, "wrap");
      const Timeline& timeline = device.streams().timeline(wrapped.slot);
      std::uint64_t asked = 0;
      thread asker([&] {
        asked = timeline.covering();
        device.streams().cover({wrapped.slot, asked});
      });
      device.streams().end_lease(nullptr, wrapped.slot);
      INTERLEAVE_EXPECT(!timeline.is_wrapped());
      asker.join();
      device.backend().run_all();
      INTERLEAVE_EXPECT(timeline.completed() >= asked);
    },
    with_device());

// One that is only asked for, as by a free that makes no mark, is covered by the lease's end.
const Register asked_only(
    "wrapped.asked_against_the_end_of_the_lease", "S12",
    [] {
      TinyDevice device(with_wrapped());
      int driver_stream = 0;
      const StreamId wrapped = device.streams().wrap(&driver_stream, StreamLifetime::lease, "wrap");
      const Timeline& timeline = device.streams().timeline(wrapped.slot);
      std::uint64_t asked = 0;
      thread asker([&] { asked = timeline.covering(); });
      device.streams().end_lease(nullptr, wrapped.slot);
      asker.join();
      device.backend().run_all();
      INTERLEAVE_EXPECT(timeline.completed() >= asked);
    },
    with_device());

// Two threads wrap one stream: it is one slot, which another one becomes only after both have left.
const Register two_wrap(
    "wrapped.two_wrap_one_stream", "S13",
    [] {
      TinyDevice device(with_wrapped());
      int driver_stream = 0, another = 0;
      const auto use = [&](void* stream) {
        try {
          const StreamId wrapped = device.streams().wrap(stream, StreamLifetime::lease, "wrap");
          device.streams().check_handle(wrapped, "check");
          device.streams().end_lease(nullptr, wrapped.slot);
          return true;
        } catch (const Error& error) {
          INTERLEAVE_EXPECT(error.code() == ErrorCode::PoolExhausted);
          return false;
        }
      };
      thread other([&] { INTERLEAVE_EXPECT(use(&driver_stream)); });
      INTERLEAVE_EXPECT(use(&driver_stream));
      other.join();
      INTERLEAVE_EXPECT(use(&another));
      device.backend().run_all();
    },
    with_device());

// A stream that is wrapped again beside the end of its lease is wrapped as long as the new one lasts.
const Register again(
    "wrapped.again_against_the_end_of_the_lease", "S12 S13",
    [] {
      TinyDevice device(with_wrapped());
      int driver_stream = 0;
      const StreamId first = device.streams().wrap(&driver_stream, StreamLifetime::lease, "wrap");
      thread leaver([&] { device.streams().end_lease(nullptr, first.slot); });
      const StreamId second = device.streams().wrap(&driver_stream, StreamLifetime::lease, "wrap");
      leaver.join();
      INTERLEAVE_EXPECT(second.slot == first.slot && device.streams().timeline(second.slot).is_wrapped());
      device.streams().check_handle(second, "check");
      device.streams().end_lease(nullptr, second.slot);
      device.backend().run_all();
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
