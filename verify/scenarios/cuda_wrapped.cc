// Queues that are streams of others: their owners put work on them, capture them, or destroy them against the
// rule.
#include "tiny_cuda.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// A queue whose stream has its owner's work on it. Whatever is reported has to come after that.
struct Wrapped {
  Wrapped() {
    stream.put(owners);
    queues.wrap(0, stream);
    sink.then = [this](TimelinePoint) { INTERLEAVE_EXPECT(owners.is_done()); };
  }
  void submit(std::uint64_t value) { queues.submit(submission(0, value, ours.operation())); }

  TinySink sink;
  CudaWork owners, ours;
  CudaStream stream;
  CudaQueues queues{1, sink};
};

const Register behind(
    "cuda_wrapped.behind_its_owner", "C1 C7",
    [] {
      Wrapped wrapped;
      wrapped.submit(1);
      thread device([&] { wrapped.owners.finish(), wrapped.ours.finish(); });
      wrapped.sink.wait({0, 1});
      INTERLEAVE_EXPECT(!wrapped.sink.failed({0, 1}));
      device.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

// A task waits for what the owner has put there too.
const Register host(
    "cuda_wrapped.task_behind_its_owner", "C1 C7",
    [] {
      Wrapped wrapped;
      wrapped.queues.submit(submission(0, 1, task([&] { INTERLEAVE_EXPECT(wrapped.owners.is_done()); })));
      thread device([&] { wrapped.owners.finish(); });
      wrapped.sink.wait({0, 1});
      INTERLEAVE_EXPECT(!wrapped.sink.failed({0, 1}));
      device.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

// What was given up puts nothing on the stream but the mark behind which it is reported.
const Register given_up(
    "cuda_wrapped.given_up_behind_its_owner", "C1 C7",
    [] {
      Wrapped wrapped;
      Submission empty = submission(0, 1);
      empty.given_up = true;
      wrapped.queues.submit(std::move(empty));
      thread device([&] { wrapped.owners.finish(); });
      wrapped.sink.wait({0, 1});
      INTERLEAVE_EXPECT(wrapped.sink.failure({0, 1}) == ErrorCode::Closed);
      device.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

// Held back, or marked once the capture is over: then it has failed, for it has not run.
const Register captured(
    "cuda_wrapped.captured_meanwhile", "C1 C2 C7",
    [] {
      Wrapped wrapped;
      thread owner([&] {
        wrapped.stream.begin_capture();
        wrapped.stream.end_capture();
        wrapped.owners.finish(), wrapped.ours.finish();
      });
      wrapped.submit(1);
      wrapped.sink.wait({0, 1});
      INTERLEAVE_EXPECT(!wrapped.sink.failed({0, 1}) ||
                        wrapped.sink.failure({0, 1}) == ErrorCode::InvalidState);
      owner.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10), Speed::slow);

// A capture that begins while the first is put on the stream: its mark comes after the capture, and not while
// the second is being put there.
const Register marked(
    "cuda_wrapped.marked_after_a_capture", "C1 C2 C7",
    [] {
      Wrapped wrapped;
      CudaWork second;
      wrapped.owners.finish(), second.finish();
      wrapped.ours.when_launched = [&] { wrapped.stream.begin_capture(); };
      wrapped.submit(1);
      wrapped.stream.end_capture();
      wrapped.queues.submit(submission(0, 2, second.operation()));
      wrapped.sink.wait({0, 2});
      INTERLEAVE_EXPECT(wrapped.sink.failure({0, 1}) == ErrorCode::InvalidState);
    },
    Expectation::bounded(kSwitches), with_few_switches(12), Speed::slow);

/// A capture that was expected, and is over.
void capture_expected(Wrapped& wrapped) {
  wrapped.queues->expect_capture(0, true);
  wrapped.stream.begin_capture();
  wrapped.stream.end_capture();
  INTERLEAVE_EXPECT(!wrapped.stream.is_spoilt());
  wrapped.queues->expect_capture(0, false);
}

// Work that is just being put there comes before the capture, and all else after it.
const Register expected(
    "cuda_wrapped.expected_beside_a_submission", "C7 C12",
    [] {
      Wrapped wrapped;
      wrapped.owners.finish(), wrapped.ours.finish();
      thread owner([&] { capture_expected(wrapped); });
      wrapped.submit(1);
      wrapped.sink.wait({0, 1});
      INTERLEAVE_EXPECT(!wrapped.sink.failed({0, 1}));
      owner.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(8), Speed::slow);

// Nobody asks it for anything meanwhile.
const Register asked(
    "cuda_wrapped.expected_beside_questions", "C12",
    [] {
      Wrapped wrapped;
      wrapped.owners.finish();
      thread owner([&] { capture_expected(wrapped); });
      static_cast<void>(wrapped.queues->check_wrapped(0));
      static_cast<void>(wrapped.queues->is_idle(0));
      owner.join();
    },
    Expectation::proved(), with_clock(10));

// Wrapped while it is being captured, and asked whether it still is there.
const Register lasting(
    "cuda_wrapped.lasting", "C15",
    [] {
      TinySink sink;
      CudaStream stream;
      CudaQueues queues{1, sink};
      stream.begin_capture();
      StreamIdentity identity;
      INTERLEAVE_EXPECT(queues->identify(stream.handle(), StreamLifetime::device, &identity).ok());
      queues.wrap(0, stream, identity);
      thread asking([&] { static_cast<void>(queues->check_wrapped(0)); });
      stream.end_capture();
      INTERLEAVE_EXPECT(!stream.is_spoilt());
      stream.begin_capture();
      stream.end_capture();
      INTERLEAVE_EXPECT(!stream.is_spoilt());
      asking.join();
    },
    Expectation::proved(), with_clock(10));

// The handle is nobody's any more, and what its owner had put there goes on: all of the device is waited for.
const Register gone(
    "cuda_wrapped.destroyed_by_its_owner", "C1 C7",
    [] {
      Wrapped wrapped;
      thread owner([&] {
        wrapped.stream.destroy();
        wrapped.owners.finish(), wrapped.ours.finish();
      });
      wrapped.submit(1);
      wrapped.sink.wait({0, 1});
      owner.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10), Speed::slow);

}  // namespace
}  // namespace millrace::verify
