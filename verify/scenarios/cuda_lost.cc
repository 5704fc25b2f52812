// The device is lost while work is in flight: the driver says so to whoever asks next.
#include "tiny_cuda.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// Runs of three submissions, with what comes of a loss, are longer than the checker's bound is by itself.
interleave::Options with_many_events(interleave::Options options) {
  options.max_events = 400;
  return options;
}

// All that is on the device or behind it fails.
const Register in_flight(
    "cuda_lost.with_work_in_flight", "C1 C4",
    [] {
      TinySink sink;
      CudaWork crashes, beside;
      bool ran = false;
      CudaQueues queues(2, sink);
      queues.submit(submission(0, 1, crashes.operation()));
      queues.submit(submission(1, 1, beside.operation()));
      queues.submit(submission(0, 2, task([&] { ran = true; }), {{1, 1}}));
      thread device([&] { crashes.crash(), beside.crash(); });
      for (const TimelinePoint point : {TimelinePoint{0, 1}, {0, 2}, {1, 1}}) {
        sink.wait(point);
        INTERLEAVE_EXPECT(sink.failure(point) == ErrorCode::DeviceLost);
      }
      INTERLEAVE_EXPECT(!ran && queues->is_lost());
      const Status refused = queues->submit(submission(0, 3));
      INTERLEAVE_EXPECT(!refused.ok() && refused.error().code() == ErrorCode::DeviceLost);
      device.join();
    },
    Expectation::bounded(kSwitches), with_many_events(with_few_switches(10)), Speed::slow);

// Who submits meanwhile is refused or told.
const Register submits(
    "cuda_lost.against_a_submission", "C1 C3",
    [] {
      TinySink sink;
      CudaWork crashes, more;
      CudaQueues queues(1, sink);
      queues.submit(submission(0, 1, crashes.operation()));
      crashes.crash();
      thread submitter([&] {
        const Status refused = queues->submit(sink.expect(submission(0, 2, more.operation())));
        if (refused.ok()) {
          sink.wait({0, 2});
          INTERLEAVE_EXPECT(sink.failure({0, 2}) == ErrorCode::DeviceLost);
        } else {
          INTERLEAVE_EXPECT(refused.error().code() == ErrorCode::DeviceLost);
        }
      });
      sink.wait({0, 1});
      INTERLEAVE_EXPECT(sink.failure({0, 1}) == ErrorCode::DeviceLost);
      submitter.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10), Speed::slow);

}  // namespace
}  // namespace millrace::verify
