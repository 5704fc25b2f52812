// The host backend's queues: strands and the workers that run them.
#include "backends/host/queue.h"

#include "tiny_queues.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// Queues with workers, stopped when it ends, if they were not before.
class HostQueues {
 public:
  HostQueues(int queues, int workers, TinySink& sink)
      : sink_(sink), queues_(sync::make_ref<host::Queues>(queues, workers, sink, "host", std::nullopt)) {
    INTERLEAVE_EXPECT(queues_->start().ok());
  }
  ~HostQueues() { INTERLEAVE_EXPECT(queues_->stop()); }
  HostQueues(const HostQueues&) = delete;
  HostQueues& operator=(const HostQueues&) = delete;

  host::Queues* operator->() const noexcept { return queues_.get(); }
  void submit(Submission made) { INTERLEAVE_EXPECT(queues_->submit(sink_.expect(std::move(made)), {}).ok()); }

 private:
  TinySink& sink_;
  sync::Ref<host::Queues> queues_;
};

Operation reduction(int& output) {
  Operation operation;
  operation.work = ReduceWork();
  std::get<ReduceWork>(operation.work).output = &output;
  operation.name = "reduction";
  return operation;
}

const Register against_worker(
    "host_queue.submit_against_worker", "Q2 Q4",
    [] {
      TinySink sink;
      HostQueues queues(1, 1, sink);
      int done = 0;
      queues.submit(submission(0, 1, task([&] { done = 1; })));
      sink.wait({0, 1});
      INTERLEAVE_EXPECT(done == 1);
    },
    with_clock());

const Register in_order(
    "host_queue.in_order", "Q1 Q2",
    [] {
      TinySink sink;
      HostQueues queues(1, 2, sink);
      int done = 0;
      for (const int value : {1, 2})
        queues.submit(submission(0, static_cast<std::uint64_t>(value), task([&, value] {
                                   INTERLEAVE_EXPECT(done == value - 1);
                                   done = value;
                                 })));
      sink.wait({0, 2});
      INTERLEAVE_EXPECT(done == 2);
    },
    with_clock());

const Register parked(
    "host_queue.parked", "Q1 Q2 Q4",
    [] {
      TinySink sink;
      HostQueues queues(2, 1, sink);
      int done = 0;
      queues.submit(submission(0, 1, task([&] { done = 1; })));
      queues.submit(submission(1, 1, task([&] { INTERLEAVE_EXPECT(done == 1); }), {{0, 1}}));
      sink.wait({1, 1});
    },
    with_clock());

const Register two_submit(
    "host_queue.two_submit", "Q1 Q2 Q4",
    [] {
      TinySink sink;
      HostQueues queues(2, 1, sink);
      int done = 0;
      thread other([&] { queues.submit(submission(0, 1, task([&] { ++done; }))); });
      queues.submit(submission(1, 1, task([&] { ++done; })));
      sink.wait({1, 1});
      other.join();
      sink.wait({0, 1});
      INTERLEAVE_EXPECT(done == 2);
    },
    with_clock());

const Register assists(
    "host_queue.assist", "Q1 Q2 Q3",
    [] {
      TinySink sink;
      HostQueues queues(1, 1, sink);
      int sum = 0;
      queues.submit(submission(0, 1, reduction(sum)));
      static_cast<void>(queues->assist(0));
      sink.wait({0, 1});
      INTERLEAVE_EXPECT(sum == 11);
    },
    with_clock());

const Register spread(
    "host_queue.spread", "Q5",
    [] {
      TinySink sink;
      HostQueues queues(1, 2, sink);
      int sum = 0;
      queues.submit(submission(0, 1, reduction(sum)));
      sink.wait({0, 1});
      INTERLEAVE_EXPECT(sum == 11);
    },
    with_clock());

const Register from_completion(
    "host_queue.submit_from_completion", "Q2 Q3",
    [] {
      TinySink sink;
      HostQueues queues(1, 1, sink);
      sink.then = [&](TimelinePoint point) {
        if (point.value == 1) queues.submit(submission(0, 2, task([] {})));
      };
      queues.submit(submission(0, 1, task([] {})));
      sink.wait({0, 2});
    },
    with_clock());

const Register cancelled(
    "host_queue.cancel", "Q1 Q2",
    [] {
      auto& sink = *new TinySink;
      sink.exiting = true;
      auto& queues = *new HostQueues(2, 1, sink);
      queues.submit(submission(0, 1, task([] {})));
      queues.submit(submission(1, 1, task([] {}), {{0, 1}}));
      queues->cancel();
      static_cast<void>(queues->stop());
      sink.wait({0, 1});
      sink.wait({1, 1});
    },
    without_leaks(with_clock()));

/// Of one queue: its submissions are reported once each, in order.
class OrderSink final : public CompletionSink {
 public:
  Status may_run(const Submission&) noexcept override { return {}; }
  void completed(TimelinePoint point, Status, sync::Clock::time_point) noexcept override {
    INTERLEAVE_EXPECT(last_.exchange(point.value) == point.value - 1);
  }
  void wait(std::uint64_t value) {
    interleave::await(last_, [=](std::uint64_t last) { return last == value; });
  }

 private:
  interleave::atomic<std::uint64_t> last_{0};
};

// stop gives up on a worker that is about to report the first, or is destroying what it ran.
const Register given_up(
    "host_queue.given_up_while_it_reports", "Q2",
    [] {
      auto& sink = *new OrderSink;
      const auto queues = sync::make_ref<host::Queues>(1, 1, sink, "host", std::nullopt);
      INTERLEAVE_EXPECT(queues->start().ok());
      for (const std::uint64_t value : {1U, 2U})
        INTERLEAVE_EXPECT(queues->submit(submission(0, value, task([] {})), {}).ok());
      queues->cancel();
      static_cast<void>(queues->stop());
      sink.wait(2);
    },
    without_leaks(with_clock()));

}  // namespace
}  // namespace millrace::verify
