// The CUDA backend's queues: who fills a stream, who reports what is on it, and when the watcher sleeps.
#include <cstring>

#include "tiny_cuda.h"

namespace millrace::verify {
namespace {

using interleave::thread;

Operation fails() {
  return task([] { throw 1; });
}
Submission depends(Submission made, const TimelinePoint& point) {
  made.dependencies = {&point, 1};
  return made;
}

const Register asleep(
    "cuda_completion.asleep", "C1 C6",
    [] {
      TinySink sink;
      CudaQueues queues(1, sink);
      queues.submit(submission(0, 1));
      sink.wait({0, 1});
    },
    Expectation::bounded(kLooks), with_clock(12));

const Register by_the_device(
    "cuda_completion.by_the_device", "C1",
    [] {
      TinySink sink;
      CudaWork work;
      CudaQueues queues(1, sink);
      queues.submit(submission(0, 1, work.operation()));
      work.finish();
      sink.wait({0, 1});
    },
    Expectation::bounded(kLooks), with_clock(12));

const Register across(
    "cuda_completion.across_queues", "C1 C4",
    [] {
      TinySink sink;
      CudaQueues queues(2, sink);
      queues.submit(submission(1, 1));
      thread other([&] { queues.submit(submission(0, 1, {{1, 1}})); });
      sink.wait({1, 1});
      sink.wait({0, 1});
      other.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

const Register two_submit(
    "cuda_completion.two_submit", "C1 C2 C6",
    [] {
      TinySink sink;
      CudaQueues queues(2, sink);
      thread other([&] { queues.submit(submission(0, 1)); });
      queues.submit(submission(1, 1));
      sink.wait({1, 1});
      sink.wait({0, 1});
      other.join();
    },
    Expectation::bounded(kSwitches), with_few_switches(10), Speed::slow);

const Register assists(
    "cuda_completion.assist", "C1 C2",
    [] {
      TinySink sink;
      CudaQueues queues(1, sink);
      queues.submit(submission(0, 1));
      queues.submit(submission(0, 2));
      static_cast<void>(queues->assist(0));
      sink.wait({0, 2});
    },
    Expectation::bounded(kSwitches), with_few_switches(10), Speed::slow);

const Register tasks(
    "cuda_completion.task", "C1 C5",
    [] {
      TinySink sink;
      CudaQueues queues(1, sink);
      int done = 0;
      queues.submit(submission(0, 1, task([&] { done = 1; })));
      sink.wait({0, 1});
      INTERLEAVE_EXPECT(done == 1);
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

// Whoever assists may be reporting the first when the watcher looks whether it is the task's turn.
const Register task_behind_work(
    "cuda_completion.task_behind_work", "C1 C2",
    [] {
      TinySink sink;
      CudaQueues queues(1, sink);
      queues.submit(submission(0, 1));
      queues.submit(submission(0, 2, task([] {})));
      static_cast<void>(queues->assist(0));
      sink.wait({0, 2});
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

const Register threads_run("cuda_completion.task_threads_run", "C1", [] {
  interleave::atomic<bool> done{false};
  cuda::TaskThreads threads(1);
  INTERLEAVE_EXPECT(threads.start([] {}, "cuda").ok());
  INTERLEAVE_EXPECT(threads.run([&] { done.store(true); }));
  interleave::await(done, [](bool is_done) { return is_done; });
  INTERLEAVE_EXPECT(threads.stop(std::nullopt));
});

const Register threads_end("cuda_completion.task_threads_end", "C1", [] {
  int done = 0;
  cuda::TaskThreads threads(1);
  INTERLEAVE_EXPECT(threads.start([] {}, "cuda").ok());
  INTERLEAVE_EXPECT(threads.run([&] { ++done; }));
  INTERLEAVE_EXPECT(threads.stop(std::nullopt));
  INTERLEAVE_EXPECT(done == 1);
});

const Register copies(
    "cuda_completion.copy", "C1 C2",
    [] {
      TinySink sink;
      CudaQueues queues(1, sink);
      char from = 1, to = 0;
      Operation copy;
      copy.work = CopyWork{&to, &from, 1};
      queues.submit(submission(0, 1, std::move(copy)));
      static_cast<void>(queues->assist(0));
      static_cast<void>(queues->assist(0));
      sink.wait({0, 1});
      INTERLEAVE_EXPECT(to == 1);
    },
    Expectation::bounded(kSwitches), with_few_switches(10), Speed::slow);

const Register failed(
    "cuda_completion.behind_a_failure", "C3",
    [] {
      TinySink sink;
      CudaQueues queues(2, sink);
      const TimelinePoint failing{0, 1};
      queues.submit(submission(0, 1, fails()));
      queues.submit(depends(submission(1, 1, {failing}), failing));
      sink.wait({1, 1});
      INTERLEAVE_EXPECT(sink.failed(failing));
      INTERLEAVE_EXPECT(sink.asked({1, 1}));
    },
    Expectation::bounded(kSwitches), with_few_switches(10));

const Register from_completion(
    "cuda_completion.submit_from_completion", "C5",
    [] {
      TinySink sink;
      CudaQueues queues(1, sink);
      sink.then = [&](TimelinePoint point) {
        if (point.value == 1) queues.submit(submission(0, 2));
      };
      queues.submit(submission(0, 1));
      sink.wait({0, 2});
    },
    Expectation::bounded(kLooks), with_clock(10));

const Register cancelled(
    "cuda_completion.cancel", "C1",
    [] {
      auto& sink = *new TinySink;
      sink.exiting = true;
      auto& queues = *new CudaQueues(1, sink);
      queues.submit(submission(0, 1));
      queues.submit(submission(0, 2, task([] {})));
      queues->cancel();
      // Where a thread is given up on that is about to report, the rest is nobody's.
      if (queues->stop()) INTERLEAVE_EXPECT(sink.told({0, 2}));
    },
    Expectation::bounded(kSwitches), without_leaks(with_few_switches(12, kASecond)));

// Whatever can't be put ahead is held.
const Register cuda_takes_it(
    "cuda_completion.no_memory_to_submit", "S15 C1",
    [] {
      TinySink sink;
      CudaQueues queues(2, sink);
      Submission first = sink.expect(with_holder<cuda::Queues>(submission(0, 1)));
      Submission second = sink.expect(with_holder<cuda::Queues>(submission(1, 1, {{0, 1}})));
      {
        const OneFails fails;
        INTERLEAVE_EXPECT(queues->submit(std::move(first)).ok());
        INTERLEAVE_EXPECT(queues->submit(std::move(second)).ok());
      }
      sink.wait({1, 1});
    },
    Expectation::bounded(kSwitches), with_few_switches(10), Speed::slow);

}  // namespace
}  // namespace millrace::verify
