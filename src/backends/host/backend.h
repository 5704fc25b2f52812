// The host backend: asynchronous queues on CPU threads, as strict about misuse as a GPU's validation layer.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/host/memory.h"
#include "backends/host/pages.h"
#include "backends/host/protect.h"
#include "backends/host/queue.h"
#include "device/backend.h"

namespace millrace::host {

/// Thread safety: as Backend says.
class HostBackend final : public Backend {
 public:
  /// Throws InvalidArgument for a number of workers that is negative or past 1024.
  HostBackend(int index, const DeviceOptions& options);
  ~HostBackend() override;

  const DeviceInfo& info() const noexcept override { return info_; }
  std::size_t granule() const noexcept override { return Memory::kGranule; }
  std::size_t default_memory_limit() const noexcept override;

  Status start(int queues, CompletionSink& sink) override;
  void stop() noexcept override;
  void cancel() noexcept override;

  Status reserve(std::size_t bytes, void** base) noexcept override;
  void release(void* base, std::size_t bytes) noexcept override;
  Status commit(void* address, std::size_t bytes) noexcept override;
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override;
  void decommit(void* address, std::size_t bytes) noexcept override;

  std::unique_ptr<SubmissionHolder> make_holder() override { return Queues::make_holder(); }
  Status submit(Submission&& submission) noexcept override;
  bool assist(QueueId queue) noexcept override;
  void host_knows(TimelinePoint point) noexcept override;
  void set_accessible(void* address, std::size_t bytes, bool accessible) noexcept override;
  std::vector<MissingDependency> missing_dependencies() const override;
  bool on_own_thread() const noexcept override;

  std::size_t committed_bytes() const noexcept { return memory_->committed_bytes(); }

 private:
  /// The range is given back: what protect mode knew of it is over.
  void forget(void* address, std::size_t bytes) noexcept;

  const DeviceInfo info_;
  const bool protected_;
  const std::optional<std::uint64_t> chaos_;
  // Each apart from the backend, since a forked child must leave them as they are.
  std::unique_ptr<Memory> memory_;
  std::unique_ptr<Pages> pages_;      // protect mode only
  std::unique_ptr<Protect> protect_;  // protect mode only, from start on
  sync::Ref<Queues> queues_;          // from start on
  bool stopped_ = false;
};

std::unique_ptr<Backend> make_host_backend(int index, const DeviceOptions& options);

}  // namespace millrace::host
