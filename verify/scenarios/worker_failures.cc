// The system has no thread left for one of the host backend's workers.
#include <new>
#include <string>

#include "backends/host/queue.h"
#include "tiny_queues.h"

namespace millrace::verify {
namespace {

constexpr int kWorkers = 2;

sync::Ref<host::Queues> make_queues(TinySink& sink) {
  return sync::make_ref<host::Queues>(1, kWorkers, sink, "host", std::nullopt);
}

// Any one of two: those that were made have ended, and nothing is accepted.
const Register any_worker(
    "worker_failures.any_of_two", "Q2 Q4",
    [] {
      TinySink sink;
      const auto queues = make_queues(sink);
      interleave::fail_threads(1);
      const Status started = queues->start();
      const bool failed = interleave::fail_threads(0) == 0;
      INTERLEAVE_EXPECT(started.ok() != failed);
      bool ran = false;
      const Status submitted = queues->submit(sink.expect(submission(0, 1, task([&] { ran = true; }))), {});
      INTERLEAVE_EXPECT(submitted.ok() != failed);
      if (failed) {
        INTERLEAVE_EXPECT(started.error().code() == ErrorCode::OutOfMemory);
        INTERLEAVE_EXPECT(started.error().message().find("asked for 2") != std::string::npos);
      } else {
        sink.wait({0, 1});
      }
      INTERLEAVE_EXPECT(ran != failed);
      INTERLEAVE_EXPECT(queues->stop());
    },
    with_clock());

// Nor memory, at any point: what was made is stopped all the same.
const Register no_memory_either(
    "worker_failures.without_memory", "Q2",
    [] {
      TinySink sink;
      const auto queues = make_queues(sink);
      interleave::fail_allocations(1);
      interleave::fail_threads(1);
      try {
        const Status started = queues->start();
        INTERLEAVE_EXPECT(started.ok() || started.error().code() == ErrorCode::OutOfMemory);
      } catch (const std::bad_alloc&) {
      }
      interleave::fail_allocations(0);
      interleave::fail_threads(0);
      INTERLEAVE_EXPECT(queues->stop());
    },
    with_clock());

}  // namespace
}  // namespace millrace::verify
