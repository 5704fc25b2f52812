// Two threads for tasks: what waits for each other runs at once.
#include "tiny_cuda.h"

namespace millrace::verify {
namespace {

/// Two come here, or neither leaves.
class Meeting {
 public:
  void meet() {
    came_.fetch_add(1, std::memory_order_acq_rel);
    interleave::await(
        came_, [](int came) { return came == 2; }, std::memory_order_acquire);
  }

 private:
  interleave::atomic<int> came_{0};
};

// The second one is made when it is needed, whether the first is idle, at work or on its way.
const Register two("cuda_tasks.two_run_at_once", "C1", [] {
  Meeting meeting;
  cuda::TaskThreads threads(2);
  INTERLEAVE_EXPECT(threads.start([] {}, "cuda").ok());
  for (int i = 0; i < 2; ++i) INTERLEAVE_EXPECT(threads.run([&] { meeting.meet(); }));
  INTERLEAVE_EXPECT(threads.stop(std::nullopt));
});

const Register two_submit("cuda_tasks.two_add", "C1", [] {
  int done[2] = {};
  cuda::TaskThreads threads(2);
  INTERLEAVE_EXPECT(threads.start([] {}, "cuda").ok());
  interleave::thread other([&] { INTERLEAVE_EXPECT(threads.run([&] { ++done[0]; })); });
  INTERLEAVE_EXPECT(threads.run([&] { ++done[1]; }));
  other.join();
  INTERLEAVE_EXPECT(threads.stop(std::nullopt));
  INTERLEAVE_EXPECT(done[0] == 1 && done[1] == 1);
});

const Register queues(
    "cuda_tasks.of_two_queues", "C1 C5",
    [] {
      TinySink sink;
      Meeting meeting;
      CudaQueues queues(2, sink, 2);
      for (const QueueId queue : {0, 1}) queues.submit(submission(queue, 1, task([&] { meeting.meet(); })));
      sink.wait({0, 1});
      sink.wait({1, 1});
    },
    Expectation::bounded(kSwitches), with_few_switches(8), Speed::slow);

}  // namespace
}  // namespace millrace::verify
