// The system has no thread left for the CUDA backend: its watcher, or one that runs host tasks.
#include <new>

#include "tiny_cuda.h"

namespace millrace::verify {
namespace {

using interleave::thread;

// Without either there are no queues, and nothing of them is left.
const Register start(
    "cuda_thread_failures.either_of_two", "C1",
    [] {
      TinySink sink;
      interleave::fail_threads(1);
      const CudaQueues queues(1, sink, 1, CudaQueues::Start::may_fail);
      const bool failed = interleave::fail_threads(0) == 0;
      INTERLEAVE_EXPECT(queues.started().ok() != failed);
      if (failed) INTERLEAVE_EXPECT(queues.started().error().code() == ErrorCode::OutOfMemory);
    },
    with_clock());

/// Threads for tasks, of which the second can't be made; who runs what is theirs.
struct OneThread {
  cuda::TaskThreads threads{2};
  interleave::atomic<int> done{0};

  OneThread() {
    INTERLEAVE_EXPECT(threads.start([] {}, "cuda").ok());
  }
  void run() {
    interleave::fail_threads(1);
    INTERLEAVE_EXPECT(threads.run([&] { done.fetch_add(1, std::memory_order_relaxed); }));
    interleave::fail_threads(0);
  }
  void end(int expected) {
    INTERLEAVE_EXPECT(threads.stop(std::nullopt));
    INTERLEAVE_EXPECT(done.load(std::memory_order_relaxed) == expected);
  }
};

// Those that are there run it in their turn.
const Register second("cuda_thread_failures.second_task_thread", "C1", [] {
  OneThread one;
  one.run();
  one.run();
  one.end(2);
});

const Register two_run("cuda_thread_failures.two_run_tasks", "C1", [] {
  OneThread one;
  thread other([&] { one.run(); });
  one.run();
  other.join();
  one.end(2);
});

// What could not be accepted for want of memory is not run; all else is.
const Register without_memory("cuda_thread_failures.task_without_memory", "C1", [] {
  OneThread one;
  int accepted = 0;
  for (int i = 0; i < 2; ++i) {
    interleave::fail_allocations(1);
    try {
      one.run();
      ++accepted;
    } catch (const std::bad_alloc&) {
      interleave::fail_threads(0);
    }
    interleave::fail_allocations(0);
  }
  one.end(accepted);
});

// The device's start fails with either; it is stopped as the backend's destructor does it.
const Register start_without_memory(
    "cuda_thread_failures.start_without_memory", "C1",
    [] {
      TinySink sink;
      CudaQueues queues(1, sink, 1, CudaQueues::Start::by_hand);
      const OneFails fails;
      queues.try_to_start();
    },
    with_clock());

}  // namespace
}  // namespace millrace::verify
