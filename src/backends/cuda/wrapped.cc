// Queues that are streams which somebody else made, and puts work on.
#include <chrono>
#include <new>
#include <string>

#include "backends/cuda/driver.h"
#include "backends/cuda/queue.h"
#include "sync/clock.h"
#include "sync/thread.h"

namespace millrace::cuda {
namespace {

// A capture that is expected begins at once, unless its thread loses the processor; and one that fails to
// begin must not hold up for ever what is to come on the stream.
constexpr std::chrono::milliseconds kExpected{100};
// How long whoever expects one waits for what is being put on the stream, and how often it looks.
constexpr std::chrono::milliseconds kLongest{100};
constexpr std::chrono::microseconds kLook{20};

}  // namespace

Status Queues::identify(CUstream asked, StreamLifetime lifetime, StreamIdentity* identity) const noexcept {
  *identity = {.number = std::nullopt,
               .handle = reinterpret_cast<std::uintptr_t>(asked),
               .lasts = lifetime == StreamLifetime::device};
  try {
    const auto refuse = [&](ErrorCode code, std::string why, const char* rule = "") {
      return Status(code, std::move(why), {.call = {}, .device = device_, .stream = -1, .rule = rule});
    };
    if (asked == CU_STREAM_PER_THREAD) {
      return refuse(
          ErrorCode::InvalidState,
          "cudaStreamPerThread is another stream in each thread, and work of one thread's stream is put "
          "there by other threads too; make a stream with cudaStreamCreateWithFlags and wrap that",
          "per-thread-default-stream");
    }
    const ContextScope scope(context_);
    if (scope.result() != CUDA_SUCCESS) return status_of(scope.result(), "asked whose a stream is", device_);
    CUcontext owner = nullptr;
    unsigned long long number = 0;
    // Before all else: asking a stream that is being captured for its number spoils the capture.
    Status captured = refuse_captured(asked, device_, -1);
    if (!captured.ok() && !identity->lasts) return captured;
    CUresult result = driver().stream_context(asked, &owner);
    if (result == CUDA_SUCCESS && captured.ok()) result = driver().stream_id(asked, &number);  // upholds C15
    if (result != CUDA_SUCCESS) {
      return refuse(
          is_fatal(result) && result != CUDA_ERROR_CONTEXT_IS_DESTROYED ? ErrorCode::DeviceLost
                                                                        : ErrorCode::InvalidArgument,
          "asked whose the stream is, the driver answered " + describe(result) + "; pass one that exists");
    }
    if (owner != context_) {
      return refuse(
          ErrorCode::InvalidArgument,
          "the stream is of another context than the device's primary one: of another device, or of a "
          "context that was made with cuCtxCreate; make it after cudaSetDevice for this device");
    }
    if (captured.ok()) identity->number = number;
    return {};
  } catch (const std::bad_alloc&) {  // while the failure was being described
    return failures_.no_memory;
  }
}

bool Queues::number_of(CUstream stream, std::uint64_t* id) const noexcept {
  if (is_captured(stream)) return false;  // as in identify
  unsigned long long number = 0;
  if (stream == CU_STREAM_LEGACY) {
    // Every device has one: this is ours, whatever the calling thread has made current.
    const ContextScope scope(context_);
    if (driver().stream_id(stream, &number) != CUDA_SUCCESS) return false;
  } else if (driver().stream_id(stream, &number) != CUDA_SUCCESS) {
    return false;
  }
  *id = number;
  return true;
}

bool Queues::is_captured(CUstream stream) const noexcept {
  if (stream != CU_STREAM_LEGACY) return cuda::is_captured(stream);
  const ContextScope scope(context_);
  return cuda::is_captured(stream);
}

bool Queues::finish(CUstream stream) const noexcept {
  if (is_lost()) return true;
  if (is_captured(stream)) return false;
  const ContextScope scope(context_);
  return driver().stream_synchronize(stream) != CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

Status Queues::wrap(QueueId id, CUstream stream, const StreamIdentity& identity, bool* wrapped) noexcept {
  *wrapped = false;
  if (Status over = verdict(); !over.ok()) return over;
  Queue& queue = at(id);
  try {
    const ContextScope scope(context_);
    sync::LockGuard lock(queue.mutex);
    if (queue.filling || !queue.held.empty()) return {};
    // Nobody fills (C2), and nothing is submitted meanwhile.
    for (auto flight = queue.flights.rbegin(); flight != queue.flights.rend(); ++flight) {
      if (flight->mark.event == nullptr) continue;
      if (!flight->mark.recorded) return {};
      // A capture may have begun since the stream was identified.
      if (Status captured = refuse_captured(stream, device_, id); !captured.ok())
        return identity.lasts ? Status() : captured;
      const CUresult result = driver().stream_wait_event(stream, flight->mark.event, 0);
      if (Status failed = status_of(result, "waited for the stream that the slot was before", device_, id);
          !failed.ok())
        return failed;
      break;
    }
    queue.stream.wrap(stream, identity);
    queue.capture_expected = {};
    *wrapped = true;
    return {};
  } catch (const std::bad_alloc&) {  // while the failure was being described
    return failures_.no_memory;
  }
}

Status Queues::check_wrapped(QueueId id) noexcept {
  if (Status over = verdict(); !over.ok()) return over;
  const ContextScope scope(context_);
  Queue& queue = at(id);
  sync::LockGuard lock(queue.mutex);
  return check(queue);
}

void Queues::expect_capture(QueueId id, bool expected) noexcept {
  Queue& queue = at(id);
  if (!expected) {
    {
      sync::LockGuard lock(queue.mutex);
      queue.capture_expected = {};
    }
    wake(Urgency::high);  // for what was held meanwhile
    return;
  }
  const sync::Clock::time_point until = sync::now() + kLongest;
  do {
    {
      sync::LockGuard lock(queue.mutex);
      if (!queue.filling && queue.touching == 0) {
        queue.capture_expected = sync::now() + kExpected;  // upholds C12
        return;
      }
    }
    sync::sleep_for(kLook);
  } while (sync::now() < until);
}

bool Queues::is_capture_expected(const Queue& queue) noexcept {
  return queue.capture_expected != sync::Clock::time_point{} && sync::now() < queue.capture_expected;
}

Status Queues::check(const Queue& queue) const noexcept {
  return is_capture_expected(queue) ? queue.stream.captured() : queue.stream.check();
}

void Queues::finish_wrapped(Queue& queue) noexcept {
  for (;;) {
    {
      sync::LockGuard lock(queue.mutex);
      if (!is_captured_by_owner(queue)) {
        ++queue.touching;  // upholds C12
        break;
      }
    }
    sync::sleep_for(kLook);
  }
  queue.stream.finish();
  sync::LockGuard lock(queue.mutex);
  --queue.touching;
}

bool Queues::is_captured_by_owner(const Queue& queue) const noexcept {
  if (!queue.stream.is_wrapped()) return false;
  if (is_capture_expected(queue)) return true;
  const ContextScope scope(context_);
  return queue.stream.is_captured_by_owner();
}

bool Queues::is_done_after_capture(Queue& queue, Flight& flight) noexcept {
  sync::UniqueLock lock(queue.mutex);
  if (queue.filling) return false;  // upholds C2
  if (const Status usable = check(queue); !usable.ok()) {
    if (says_captured(usable)) return false;
    lock.unlock();
    queue.stream.finish();  // upholds C7
    return true;
  }
  const CUresult result = driver().event_record(flight.mark.event, queue.stream.get());
  if (result == CUDA_SUCCESS) {
    flight.mark.recorded = true;
    return false;
  }
  lock.unlock();
  lose(lost_with(result, "recorded an event"));
  return false;  // the next look finds it lost
}

bool Queues::is_idle(QueueId id) noexcept {
  const ContextScope scope(context_);
  Queue& queue = at(id);
  sync::LockGuard lock(queue.mutex);
  if (is_lost() || !check(queue).ok()) return true;
  return driver().stream_query(queue.stream.get()) != CUDA_ERROR_NOT_READY;
}

}  // namespace millrace::cuda
