// What two threads hear of work that failed.
#include "one_stream.h"

namespace millrace::verify {
namespace {

struct TwoFailed : OneStream {
  TwoFailed() { device.backend().refuse(Status(ErrorCode::DeviceLost, "lost")); }
};

// What the backend refuses fails where it was committed, and each failure is in the log of its value.
const Register two_refused(
    "failure.two_commit_what_is_refused", "S4 S7 B4",
    [] {
      TwoFailed one;
      at_once([&](int) {
        one.record();
        one.commit();
      });
      const std::uint64_t last = one.device.streams().timeline(one.stream.slot).completed();
      INTERLEAVE_EXPECT(last == 1 || last == 2);
      for (std::uint64_t value = 1; value <= last; ++value)
        INTERLEAVE_EXPECT(!one.state().failure_of(value).ok());
    },
    with_device());

// A failure is told once; what it was can be asked any number of times.
const Register two_ask(
    "failure.two_ask", "S4",
    [] {
      TwoFailed one;
      one.record();
      one.commit();
      bool told[2] = {};
      at_once([&](int me) {
        INTERLEAVE_EXPECT(!one.state().failure_of(std::uint64_t{1}).ok());
        INTERLEAVE_EXPECT(!one.state().failure_of(*one.buffer).ok());
        INTERLEAVE_EXPECT(!one.state().in_handler_of_unfinished());
        told[me] = !one.state().take_first_failure(one.generation()).ok();
      });
      INTERLEAVE_EXPECT(told[0] != told[1]);
    },
    with_device());

const Register two_ask_any(
    "failure.two_ask_of_any_lease", "S4",
    [] {
      TwoFailed one;
      one.record();
      one.commit();
      bool told[2] = {};
      at_once([&](int me) { told[me] = !one.state().take_first_failure().ok(); });
      INTERLEAVE_EXPECT(told[0] != told[1]);
    },
    with_device());

// A wait splits a buffer in two; the first part may have failed before the second is submitted, or after.
const Register later(
    "failure.later_in_the_buffer", "B4 S4",
    [] {
      OneStream one;
      TinyContext mine(one.device, 1);
      const StreamId other = one.device.streams().lease(mine.get(), "lease");
      one.device.streams().record(other, task(), "run");
      one.device.streams().commit(other, "commit");
      bool ran = false;
      one.state().record(one.generation(), task([] { throw 1; }), "run");
      one.device.streams().wait_for(one.stream, {other.slot, 1}, "wait");
      one.state().record(one.generation(), task([&] { ran = true; }), "run");
      at_once([&](int me) { me == 0 ? one.commit() : one.run_all(); });
      one.run_all();
      INTERLEAVE_EXPECT(one.device.streams().timeline(one.stream.slot).completed() == 2);
      INTERLEAVE_EXPECT(!ran);
      INTERLEAVE_EXPECT(!one.state().failure_of(std::uint64_t{2}).ok());
      one.device.streams().end_lease(nullptr, other.slot);
    },
    with_device());

}  // namespace
}  // namespace millrace::verify
