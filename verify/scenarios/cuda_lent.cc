// Events that stand for points as long as somebody outside wants them.
#include "at_once.h"
#include "tiny_cuda.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// Of a point that was submitted and goes ahead, so that there is one.
CUevent lend(CudaQueues& queues, TimelinePoint point) {
  CUevent event = nullptr;
  INTERLEAVE_EXPECT(queues->lend_event(point, &event).ok() && event != nullptr);
  return event;
}

// What follows is marked by another event, whether what the lent one marks was reported or not.
const Register recorded(
    "cuda_lent.not_recorded_meanwhile", "C8",
    [] {
      TinySink sink;
      CudaWork first, second;
      CudaQueues queues(1, sink);
      queues.submit(submission(0, 1, first.operation()));
      const CUevent event = lend(queues, {0, 1});
      first.finish(), second.finish();
      thread user([&] {
        INTERLEAVE_EXPECT(marked_by(event) == 1);
        queues->return_event(0, event);
      });
      sink.wait({0, 1});
      queues.submit(submission(0, 2, second.operation()));
      sink.wait({0, 2});
      user.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

// Two have it: who returns it first does not free it. What is done has a free event or a new one.
const Register two_users(
    "cuda_lent.two_have_it", "C8",
    [] {
      TinySink sink;
      CudaWork first, second;
      CudaQueues queues(1, sink);
      queues.submit(submission(0, 1, first.operation()));
      first.finish(), second.finish();
      sink.wait({0, 1});
      const CUevent event = lend(queues, {0, 1});
      INTERLEAVE_EXPECT(lend(queues, {0, 1}) == event);
      const auto use = [&] {
        INTERLEAVE_EXPECT(marked_by(event) <= 1);
        queues->return_event(0, event);
      };
      thread other(use);
      use();
      queues.submit(submission(0, 2, second.operation()));
      sink.wait({0, 2});
      other.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

// Returned while what it marks is in flight, it is recorded again after that was reported.
const Register in_flight(
    "cuda_lent.returned_in_flight", "C1 C8",
    [] {
      TinySink sink;
      CudaWork first, second;
      CudaQueues queues(1, sink);
      sink.then = [&](TimelinePoint point) {
        INTERLEAVE_EXPECT((point.value == 1 ? first : second).is_done());
      };
      queues.submit(submission(0, 1, first.operation()));
      const CUevent event = lend(queues, {0, 1});
      thread user([&] { queues->return_event(0, event); });
      queues.submit(submission(0, 2, second.operation()));
      first.finish(), second.finish();
      sink.wait({0, 2});
      user.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(8), Speed::slow);

}  // namespace
}  // namespace millrace::verify
