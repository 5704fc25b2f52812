// The CUDA backend's queues are stopped while work is on the device, is run or is reported.
#include "tiny_cuda.h"

namespace millrace::verify {
namespace {

using interleave::thread;

// A stop that nobody cancelled for is to come after the last report (Backend::stop). Where it does not, all
// that is underway is told nevertheless, as done or as cancelled.
const Register in_flight(
    "cuda_stop.with_work_in_flight", "C1",
    [] {
      auto& sink = *new TinySink;
      CudaWork work;
      auto& queues = *new CudaQueues(1, sink);
      queues.submit(submission(0, 1, work.operation()));
      queues.submit(submission(0, 2, task([] {})));
      thread device([&] { work.finish(); });
      static_cast<void>(queues->stop());
      INTERLEAVE_EXPECT(sink.told({0, 2}));
      device.join();
    },
    Expectation::bounded(kSwitches), without_leaks(with_few_switches(8)), Speed::slow);

// What is told is done: nothing is left for stop to wait for but threads.
const Register told(
    "cuda_stop.as_soon_as_it_is_told", "C1",
    [] {
      TinySink sink;
      CudaWork work;
      CudaQueues queues(2, sink);
      queues.submit(submission(0, 1, work.operation()));
      queues.submit(submission(1, 1, task([] {})));
      work.finish();
      sink.wait({0, 1});
      sink.wait({1, 1});
      INTERLEAVE_EXPECT(queues->stop());
      INTERLEAVE_EXPECT(!sink.failed({0, 1}) && !sink.failed({1, 1}));
    },
    Expectation::bounded(kSwitches), with_few_switches(8), Speed::slow);

/// Says when it is destroyed.
struct Captured {
  explicit Captured(const bool& gone) : what_it_touches_is_gone(gone) {}
  ~Captured() { INTERLEAVE_EXPECT(!what_it_touches_is_gone); }
  const bool& what_it_touches_is_gone;
};

// A task that does not come back in time is told as cancelled, and touches nothing once it does.
const Register task_given_up(
    "cuda_stop.gives_up_on_a_task", "C1",
    [] {
      auto& sink = *new TinySink;
      sink.exiting = true;
      auto& queues = *new CudaQueues(1, sink);
      auto& gone = *new bool(false);
      auto& comes_back = *new interleave::atomic<bool>(false);
      auto& runs = *new interleave::atomic<bool>(false);
      queues.submit(submission(0, 1, task([&, captured = std::make_shared<Captured>(gone)] {
                                 runs.store(true, std::memory_order_release);
                                 interleave::await(
                                     comes_back, [](bool now) { return now; }, std::memory_order_acquire);
                               })));
      interleave::await(
          runs, [](bool now) { return now; }, std::memory_order_acquire);
      queues->cancel();
      INTERLEAVE_EXPECT(!queues->stop());
      INTERLEAVE_EXPECT(sink.told({0, 1}) && sink.failure({0, 1}) == ErrorCode::Closed);
      gone = true;
      comes_back.store(true, std::memory_order_release);
    },
    Expectation::bounded(kSwitches), without_leaks(with_few_switches(12, kASecond)), Speed::slow);

// stop gives up on whoever is about to report the first, or is destroying what it ran: all is told, once and
// in order, by that thread where stop does not.
const Register given_up(
    "cuda_stop.given_up_while_it_reports", "C1",
    [] {
      auto& sink = *new TinySink;
      sink.exiting = true;
      auto& queues = *new CudaQueues(1, sink);
      for (const std::uint64_t value : {1U, 2U}) queues.submit(submission(0, value, task([] {})));
      queues->cancel();
      static_cast<void>(queues->stop());
      sink.wait({0, 2});
    },
    Expectation::bounded(kSwitches), without_leaks(with_few_switches(12, kASecond)), Speed::slow);

// And on whoever is asking whether the first may run, which comes back when what its task captured is gone.
const Register given_up_asks(
    "cuda_stop.given_up_while_it_asks", "C1",
    [] {
      auto& sink = *new TinySink;
      sink.exiting = true;
      auto& asks = *new interleave::atomic<bool>(false);
      auto& comes_back = *new interleave::atomic<bool>(false);
      const auto until = [](interleave::atomic<bool>& flag) {
        interleave::await(
            flag, [](bool now) { return now; }, std::memory_order_acquire);
      };
      sink.when_asked = [&, until] {
        asks.store(true, std::memory_order_release);
        until(comes_back);
      };
      auto& queues = *new CudaQueues(1, sink);
      auto& gone = *new bool(false);
      queues.submit(submission(0, 1, task([captured = std::make_shared<Captured>(gone)] {})));
      until(asks);
      queues->cancel();
      INTERLEAVE_EXPECT(!queues->stop());
      INTERLEAVE_EXPECT(sink.told({0, 1}));
      gone = true;
      comes_back.store(true, std::memory_order_release);
    },
    Expectation::bounded(kSwitches), without_leaks(with_few_switches(12, kASecond)), Speed::slow);

}  // namespace
}  // namespace millrace::verify
