// Whose thread is this?
#pragma once

#include "backends/cuda/queue.h"
#include "sync/thread_slot.h"

namespace millrace::cuda {

struct QueuesTag;
using OwnQueues = sync::ThreadSlot<QueuesTag, const Queues>;  // never opened: no hook when the thread ends

/// This thread works for the queues until the end of the scope.
class OwnScope {
 public:
  explicit OwnScope(const Queues* queues) noexcept : outer_(OwnQueues::get()) { OwnQueues::set(queues); }
  ~OwnScope() { OwnQueues::set(outer_); }
  OwnScope(const OwnScope&) = delete;
  OwnScope& operator=(const OwnScope&) = delete;

 private:
  const Queues* const outer_;
};

}  // namespace millrace::cuda
