#include "backends/host/backend.h"

#include <algorithm>
#include <new>

#include "backends/host/machine.h"
#include "device/fork.h"
#include "device/memory_range.h"
#include "sync/thread.h"

namespace millrace::host {
namespace {

constexpr int kMostWorkers = 1024;
constexpr unsigned kUsualWorkers = 16;

DeviceInfo describe(int index, const DeviceOptions& options) {
  if (options.workers < 0 || options.workers > kMostWorkers) {
    throw Error(ErrorCode::InvalidArgument, "DeviceOptions::workers is " + std::to_string(options.workers) +
                                                "; it must be 0 (one a core) to " +
                                                std::to_string(kMostWorkers));
  }
  DeviceInfo info;
  info.name = "host:" + std::to_string(index);
  info.description = machine_description();
  info.memory_bytes = machine_memory();
  info.workers = options.workers != 0 ? options.workers
                                      : static_cast<int>(std::min(sync::hardware_threads(), kUsualWorkers));
  info.host_tasks = true;
  info.reads_host_memory = true;
  return info;
}

}  // namespace

HostBackend::HostBackend(int index, const DeviceOptions& options)
    : info_(describe(index, options)),
      protected_(options.protect),
      chaos_(options.chaos),
      memory_(std::make_unique<Memory>(info_.name)) {
  if (protected_) pages_ = std::make_unique<Pages>(Pages::default_budget());
}

HostBackend::~HostBackend() {
  if (forked()) {
    // The threads that were changing these at the fork are not here to finish it.
    if (queues_) Queues::keep_forever(std::move(queues_));
    (void)protect_.release();
    (void)pages_.release();
    (void)memory_.release();
    return;
  }
  if (queues_ && !stopped_) {
    cancel();
    stop();
  }
}

std::size_t HostBackend::default_memory_limit() const noexcept {
  return info_.memory_bytes / 4 * 3;
}

Status HostBackend::start(int queues, CompletionSink& sink) {
  if (protected_) protect_ = std::make_unique<Protect>(queues, info_.name, *memory_);
  queues_ = sync::make_ref<Queues>(queues, info_.workers, sink, info_.name, chaos_);
  Status status = queues_->start();
  if (!status.ok()) stopped_ = true;
  return status;
}

void HostBackend::stop() noexcept {
  if (!queues_ || stopped_ || forked()) return;
  stopped_ = true;
  if (!queues_->stop()) memory_->leak();
}

void HostBackend::cancel() noexcept {
  if (queues_ && !forked()) queues_->cancel();
}

Status HostBackend::reserve(std::size_t bytes, void** base) noexcept {
  return memory_->reserve(bytes, base);
}

void HostBackend::release(void* base, std::size_t bytes) noexcept {
  if (forked()) return;
  forget(base, bytes);
  memory_->release(base, bytes);
}

Status HostBackend::commit(void* address, std::size_t bytes) noexcept {
  return memory_->commit(address, bytes);
}

std::span<std::byte> HostBackend::decommittable(void* address, std::size_t bytes) const noexcept {
  return granules_within(address, bytes, Memory::kGranule);
}

void HostBackend::decommit(void* address, std::size_t bytes) noexcept {
  if (forked()) return;
  forget(address, bytes);
  memory_->decommit(address, bytes);
}

void HostBackend::forget(void* address, std::size_t bytes) noexcept {
  if (pages_) pages_->forget(address, bytes);
  if (!protect_) return;
  try {
    protect_->decommitted(address, bytes, queues_->reported());
  } catch (const std::bad_alloc&) {
    // The uses stay known: at worst an accusation that says too much, in a debug mode out of memory.
  }
}

Status HostBackend::submit(Submission&& submission) noexcept {
  Status refused = queues_->failures().check_queues(submission, queues_->size());
  if (!refused.ok()) return refused;
  if (protect_) {
    try {
      refused = protect_->check(submission);
    } catch (const std::bad_alloc&) {
      refused = queues_->failures().no_memory;
    }
  }
  return queues_->submit(std::move(submission), std::move(refused));
}

bool HostBackend::assist(QueueId queue) noexcept {
  return queues_->assist(queue);
}

void HostBackend::host_knows(TimelinePoint point) noexcept {
  if (protect_) protect_->host_knows(point);
}

void HostBackend::set_accessible(void* address, std::size_t bytes, bool accessible) noexcept {
  if (!pages_ || forked()) return;
  accessible ? pages_->open(address, bytes) : pages_->close(address, bytes);
}

std::vector<MissingDependency> HostBackend::missing_dependencies() const {
  return protect_ ? protect_->missing() : std::vector<MissingDependency>();
}

bool HostBackend::on_own_thread() const noexcept {
  return queues_ && queues_->on_own_thread();
}

std::unique_ptr<Backend> make_host_backend(int index, const DeviceOptions& options) {
  return std::make_unique<HostBackend>(index, options);
}

}  // namespace millrace::host
