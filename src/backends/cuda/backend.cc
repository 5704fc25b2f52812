#include "backends/cuda/backend.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <span>
#include <utility>

#include "backends/cuda/devices.h"
#include "backends/cuda/driver.h"
#include "backends/cuda/memory.h"
#include "backends/cuda/queue.h"
#include "backends/cuda/reduce/reduce.h"
#include "device/fork.h"
#include "sync/thread.h"

namespace millrace::cuda {
namespace {

constexpr unsigned kUsualWorkers = 16;

DeviceInfo info_of(const Properties& properties, const DeviceOptions& options) {
  DeviceInfo info;
  info.name = "cuda:" + std::to_string(properties.index);
  info.description = description_of(properties);
  info.memory_bytes = properties.memory_bytes;
  info.workers = options.workers != 0 ? options.workers
                                      : static_cast<int>(std::min(sync::hardware_threads(), kUsualWorkers));
  info.host_tasks = true;
  info.driver_streams = true;
  return info;
}

void refuse_host_options(const DeviceOptions& options, const std::string& device) {
  const char* const option = options.protect ? "protect" : options.chaos ? "chaos" : nullptr;
  if (option == nullptr) return;
  throw Error(ErrorCode::Unsupported,
              std::string("DeviceOptions::") + option + " is a mode of the host device; open \"host\" for it",
              {.call = "Device::open", .device = device, .stream = -1, .rule = {}});
}

/// MILLRACE_CUDA_VIRTUAL_MEMORY=off: as on a device that maps no memory, for tests.
bool is_virtual_memory_off() {
  const char* const given = std::getenv("MILLRACE_CUDA_VIRTUAL_MEMORY");
  return given != nullptr && std::string_view(given) == "off";
}

/// Thread safety: as Backend says.
class CudaBackend final : public Backend {
 public:
  CudaBackend(const Properties& properties, const DeviceOptions& options)
      : properties_(properties),
        info_(info_of(properties, options)),
        nvtx_(options.nvtx),
        memory_(make_memory(properties,
                            memory_limit_of(options, info_, Memory::kLargestGranule, properties.memory_bytes),
                            info_.name)) {
    refuse_host_options(options, info_.name);
    const RelaxedCapture relaxed;
    status_of(hold_primary_context(properties.device, &context_),
              "asked for the context of " + properties.name, info_.name)
        .throw_if_failed();
    memory_->open(context_).throw_if_failed();
  }

  ~CudaBackend() override {
    if (forked()) {
      // The driver does not survive a fork, and threads that were in the middle of something are not here.
      if (queues_) Queues::keep_forever(std::move(queues_));
      (void)memory_.release();
      return;
    }
    if (queues_ && !stopped_) {
      cancel();
      stop();
    }
    queues_ = sync::Ref<Queues>();
    if (leaked_) (void)memory_.release();
  }

  const DeviceInfo& info() const noexcept override { return info_; }
  std::size_t granule() const noexcept override { return memory_->granule(); }
  bool commits_whole() const noexcept override { return memory_->commits_whole(); }
  std::size_t default_memory_limit() const noexcept override {
    return info_.memory_bytes / Memory::kLargestGranule * Memory::kLargestGranule;
  }

  Status start(int queues, CompletionSink& sink) override {
    queues_ = sync::make_ref<Queues>(Queues::Options{queues, info_.workers, nvtx_}, sink, info_.name,
                                     context_, *memory_);
    Status status = queues_->start();
    if (!status.ok()) stopped_ = true;
    return status;
  }

  void stop() noexcept override {
    if (!queues_ || stopped_ || forked()) return;
    stopped_ = true;
    if (queues_->stop()) return;
    // What could not be waited for may still use all of it.
    memory_->leak();
    leaked_ = true;
  }

  void cancel() noexcept override {
    if (queues_ && !forked()) queues_->cancel();
  }

  Status reserve(std::size_t bytes, void** base) noexcept override { return memory_->reserve(bytes, base); }
  void release(void* base, std::size_t bytes) noexcept override {
    if (!forked()) memory_->release(base, bytes);
  }
  Status commit(void* address, std::size_t bytes) noexcept override {
    return memory_->commit(address, bytes);
  }
  Status commit_lasting(void* address, std::size_t bytes) noexcept override {
    return memory_->commit_lasting(address, bytes);
  }
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override {
    return memory_->decommittable(address, bytes);
  }
  void decommit(void* address, std::size_t bytes) noexcept override {
    if (!forked()) memory_->decommit(address, bytes);
  }
  Moved move(std::span<std::byte> range, void* to, std::size_t wanted, std::size_t room) noexcept override {
    return forked() ? Moved{} : memory_->move(range, to, wanted, room);
  }

  std::optional<MemoryRoom> room() const noexcept override { return memory_->room(); }
  MemorySource& pinned() noexcept override { return memory_->pinned(); }

  Status grant_access(const std::string& other_device) override {
    const std::vector<Properties> devices = list_devices();
    const int index = find_device(other_device, devices);
    if (index < 0) return Backend::grant_access(other_device);
    return memory_->grant_access(devices[static_cast<std::size_t>(index)].device);
  }

  std::size_t scratch_bytes(const ReduceWork& work) const noexcept override {
    return reduce_scratch_bytes(work);
  }

  bool joins_operations() const noexcept override { return true; }

  std::unique_ptr<SubmissionHolder> make_holder() override { return Queues::make_holder(); }
  Status submit(Submission&& submission) noexcept override { return queues_->submit(std::move(submission)); }
  Status native_stream(QueueId queue, void** stream) noexcept override {
    CUstream native = nullptr;
    Status status = queues_->native_stream(queue, &native);
    *stream = native;
    return status;
  }
  Status identify(void* stream, StreamLifetime lifetime, StreamIdentity* identity) noexcept override {
    return queues_->identify(handle(stream), lifetime, identity);
  }
  Status wrap(QueueId queue, void* stream, const StreamIdentity& identity, bool* wrapped) noexcept override {
    return queues_->wrap(queue, handle(stream), identity, wrapped);
  }
  bool number_of(void* stream, std::uint64_t* id) noexcept override {
    return queues_->number_of(handle(stream), id);
  }
  bool finish(void* stream) noexcept override { return queues_->finish(handle(stream)); }
  Status check_wrapped(QueueId queue) noexcept override { return queues_->check_wrapped(queue); }
  void expect_capture(QueueId queue, bool expected) noexcept override {
    queues_->expect_capture(queue, expected);
  }
  void raise_priority(QueueId queue) noexcept override { queues_->raise_priority(queue); }
  Status begin_capture(QueueId queue) noexcept override { return queues_->begin_capture(queue); }
  Status begin_branch(QueueId queue, QueueId origin) noexcept override {
    return queues_->begin_branch(queue, origin);
  }
  Status end_capture(QueueId queue, std::span<const QueueId> branches,
                     sync::Ref<DeviceGraph>* graph) noexcept override {
    return queues_->end_capture(queue, branches, graph);
  }
  Status check_capturable(const Operation& operation) const noexcept override {
    return queues_->check_capturable(operation);
  }
  bool is_idle(QueueId queue) noexcept override { return queues_->is_idle(queue); }
  Status lend_native_event(TimelinePoint point, void** event) noexcept override {
    CUevent native = nullptr;
    Status status = queues_->lend_event(point, &native);
    *event = native;
    return status;
  }
  void return_native_event(QueueId queue, void* event) noexcept override {
    queues_->return_event(queue, static_cast<CUevent>(event));
  }
  bool assist(QueueId queue) noexcept override { return queues_->assist(queue); }
  void host_knows(TimelinePoint /*point*/) noexcept override {}
  void set_accessible(void* /*address*/, std::size_t /*bytes*/, bool /*accessible*/) noexcept override {}
  std::vector<MissingDependency> missing_dependencies() const override { return {}; }
  bool on_own_thread() const noexcept override { return queues_ && queues_->on_own_thread(); }

 private:
  /// null is the legacy default stream, whatever the caller was compiled to take it for.
  static CUstream handle(void* stream) noexcept {
    return stream == nullptr ? CU_STREAM_LEGACY : static_cast<CUstream>(stream);
  }

  const Properties properties_;
  const DeviceInfo info_;
  const bool nvtx_;
  CUcontext context_ = nullptr;
  std::unique_ptr<Memory> memory_;
  sync::Ref<Queues> queues_;  // from start on
  bool stopped_ = false;
  bool leaked_ = false;
};

}  // namespace

std::vector<DeviceInfo> available_devices() {
  std::vector<DeviceInfo> infos;
  for (const Properties& properties : list_devices()) infos.push_back(info_of(properties, DeviceOptions()));
  return infos;
}

std::string absence() {
  if (find_driver() == nullptr) return why_no_driver();
  return list_devices().empty() ? "the NVIDIA driver lists no device (CUDA_VISIBLE_DEVICES may hide them)"
                                : "";
}

std::string full_name(std::string_view name) {
  const int index = find_device(name, list_devices());
  return index < 0 ? std::string() : "cuda:" + std::to_string(index);
}

std::unique_ptr<Backend> make_backend(const std::string& name, const DeviceOptions& options) {
  const std::vector<Properties> devices = list_devices();
  const int index = find_device(name, devices);
  if (index < 0) {
    const std::string why = absence();
    throw Error(ErrorCode::InvalidArgument,
                "there is no device \"" + name +
                    "\": " + (why.empty() ? std::to_string(devices.size()) + " are present" : why),
                {.call = "Device::open", .device = {}, .stream = -1, .rule = {}});
  }
  Properties chosen = devices[static_cast<std::size_t>(index)];
  chosen.virtual_memory &= !is_virtual_memory_off();
  return std::make_unique<CudaBackend>(chosen, options);
}

}  // namespace millrace::cuda
