#include "device/fork.h"

#include <millrace/error.h>

#include "device/thread_contexts.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace millrace {
namespace {

// Written before any other thread of the child exists; relaxed throughout.
constinit sync::atomic<bool> in_child{false};

void enter_child() noexcept {
  in_child.store(true, std::memory_order_relaxed);
  // The fast paths look up the calling thread's context only; without one they come to a slow path,
  // which asks forked() before it takes a lock. So they pay nothing for fork.
  ThreadContexts::forget();
}

}  // namespace

void watch_for_fork() {
  static constinit sync::Mutex once;
  static constinit sync::atomic<bool> watching{false};  // under that mutex, so relaxed
  sync::LockGuard lock(once);
  if (watching.load(std::memory_order_relaxed)) return;
  if (!sync::call_in_forked_child(&enter_child)) {
    throw Error(ErrorCode::OutOfMemory, "the system has no memory to register a fork handler");
  }
  watching.store(true, std::memory_order_relaxed);
}

bool forked() noexcept {
  return in_child.load(std::memory_order_relaxed);
}

void refuse_in_forked_child(const char* call) {
  if (!forked()) return;
  throw Error(
      ErrorCode::ForkedProcess,
      "this process was forked from one that had opened a device; its threads are not here. "
      "Start the child with exec (Python: multiprocessing's spawn), or open the device after the fork",
      {.call = call, .device = {}, .rule = {}});
}

}  // namespace millrace
