// The figures of streams beside what they count.
#include "tiny_device.h"

namespace millrace::verify {
namespace {

using interleave::thread;

const Register stats(
    "accounting.stream_figures", "D2 H1",
    [] {
      TinyDevice device(by_hand({.streams = 2}));
      TinyContext other(device, 2);
      thread user([&] {
        for (int i = 0; i < 2; ++i) {
          const StreamId stream = device.streams().lease(other.get(), "lease");
          device.streams().end_lease(&other.get(), stream.slot);
        }
        other.end();
      });
      INTERLEAVE_EXPECT(device.streams().stats().leases <= 2);
      user.join();
      INTERLEAVE_EXPECT(device.streams().stats().leases == 2);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
