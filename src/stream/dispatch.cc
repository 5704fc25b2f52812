#include "stream/dispatch.h"

#include <system_error>
#include <utility>

#include "device/core.h"
#include "device/handler_scope.h"
#include "stream/command_buffer.h"

namespace millrace {

void Dispatcher::start() {
  sync::LockGuard lock(mutex_);
  if (started_) return;
  try {
    thread_ = sync::Thread([this] { work(); });
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::OutOfMemory,
                std::string("the system has no thread to run handlers on: ") + error.what(),
                core_.error_context("adding a handler"));
  }
  started_ = true;
}

void Dispatcher::push(BufferState& buffer, HandlerJob& job) noexcept {
  buffer.add_ref();
  job.buffer = &buffer;
  sync::LockGuard lock(mutex_);
  jobs_.push_back(&job);
  ++pushed_;
  work_.notify_one();
}

bool Dispatcher::wait_until_idle(sync::Deadline deadline) noexcept {
  sync::UniqueLock lock(mutex_);
  const std::uint64_t target = pushed_;
  while (told_ < target) {
    if (!deadline) {
      told_changed_.wait(lock);
    } else if (!told_changed_.wait_until(lock, *deadline) && told_ < target) {
      return false;
    }
  }
  return true;
}

void Dispatcher::stop() noexcept {
  {
    sync::LockGuard lock(mutex_);
    stopping_ = true;
    work_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Dispatcher::leave_running() noexcept {
  if (thread_.joinable()) thread_.detach();
}

void Dispatcher::work() noexcept {
  sync::UniqueLock lock(mutex_);
  for (;;) {
    while (jobs_.empty() && !stopping_) work_.wait(lock);
    if (jobs_.empty()) return;
    HandlerJob& job = *jobs_.pop_front();
    lock.unlock();
    tell(job);
    lock.lock();
    ++told_;
    told_changed_.notify_all();
  }
}

void Dispatcher::tell(HandlerJob& job) noexcept {
  const sync::Ref<BufferState> buffer = sync::Ref<BufferState>::adopt(job.buffer);
  const HandlerScope scope(core_, buffer.get());
  // Out of the buffer, which callers may keep: what the handlers hold is dropped now (H2).
  std::vector<Handler> handlers = std::exchange(job.handlers, {});
  const Completion completion{job.status, job.failure.exception(), buffer->queue(), buffer->sequence()};
  if (is_final(job.status)) core_.backend().host_knows(buffer->end());
  for (Handler& handler : handlers) {
    try {
      handler(completion);
    } catch (...) {
      // Handlers must not throw; there is nobody to tell but StreamStats.
      sync::add_single_writer(exceptions_, std::uint64_t{1});
    }
    handler = nullptr;
    sync::add_single_writer(run_, std::uint64_t{1});
  }
}

}  // namespace millrace
