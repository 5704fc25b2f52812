#include <millrace/c.h>

#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>

#include <millrace/millrace.h>

#include "api/access.h"
#include "device/fork.h"
#include "memory/allocator.h"
#include "sync/thread_slot.h"

struct millrace_device {
  millrace::Device device;
};

struct millrace_event {
  millrace::Event event;
};

struct millrace_lease {
  millrace::StreamLease lease;
};

struct millrace_native {
  millrace::NativeRecorder recorder;
};

namespace {

using millrace::Device;
using millrace::Error;
using millrace::Stream;
using millrace::detail::Access;

struct LastError {
  std::string message;
  std::string rule;
};

struct LastErrorTag;
using Slot = millrace::sync::ThreadSlot<LastErrorTag, LastError>;

void remember(const char* message, const std::string& rule) noexcept {
  try {
    static const bool open = (Slot::open([](LastError* last) { delete last; }), true);
    static_cast<void>(open);
    if (Slot::get() == nullptr) {
      auto made = std::make_unique<LastError>();
      Slot::set(made.get());
      static_cast<void>(made.release());
    }
    *Slot::get() = {message, rule};
  } catch (const std::bad_alloc&) {
    // The code still says what it was.
  }
}

millrace_status code_of(millrace::ErrorCode code) noexcept {
  return static_cast<millrace_status>(static_cast<int>(code) + 1);
}

template <typename Body>
millrace_status guarded(Body&& body) noexcept {
  try {
    body();
    return MILLRACE_OK;
  } catch (const Error& error) {
    remember(error.what(), error.rule());
    return code_of(error.code());
  } catch (const std::exception& error) {
    remember(error.what(), {});
  } catch (...) {
    remember("an exception of an unknown type", {});
  }
  return MILLRACE_UNKNOWN;
}

template <typename T>
T& required(T* pointer, const char* what) {
  if (pointer == nullptr) {
    throw Error(millrace::ErrorCode::InvalidArgument, std::string(what) + " is null",
                {.call = "the C interface", .device = {}, .rule = {}});
  }
  return *pointer;
}

Stream cpp(millrace_stream stream) {
  return Access::make_stream(stream.device, {stream.slot, stream.generation});
}

millrace_stream c(const Stream& stream) {
  const millrace::StreamId id = Access::id_of(stream);
  return {Access::device_of(stream), id.slot, id.generation};
}

millrace_memory_stats c(const millrace::MemoryStats& stats) {
  return {stats.live,      stats.cached,         stats.pending,     stats.committed, stats.limit,
          stats.peak_live, stats.peak_committed, stats.allocations, stats.frees};
}

millrace_status status_of(const millrace::Completion& completion) noexcept {
  if (completion.error) {
    try {
      std::rethrow_exception(completion.error);
    } catch (const Error& error) {
      return code_of(error.code());
    } catch (...) {
      return MILLRACE_UNKNOWN;
    }
  }
  return completion.status == millrace::BufferStatus::completed ? MILLRACE_OK : MILLRACE_INVALID_STATE;
}

/// Has the allocation and a view of it made a tensor: make(Buffer&&, const TensorView&).
template <typename Make>
auto make_tensor(millrace_device* device, void* address, millrace_dtype dtype, std::int32_t dims,
                 const std::int64_t* shape, const std::int64_t* strides, Make&& make) {
  constexpr const char* kCall = "millrace_to_dlpack";
  if (dims < 0) {
    throw Error(millrace::ErrorCode::InvalidArgument, std::to_string(dims) + " dimensions can't be",
                {.call = kCall, .device = {}, .rule = {}});
  }
  const auto numbers = [&](const std::int64_t* given, const char* what) {
    if (dims == 0) return millrace::Dims();
    return millrace::Dims(std::span(&required(given, what), static_cast<std::size_t>(dims)));
  };
  millrace::TensorView view{address, static_cast<millrace::DType>(dtype), numbers(shape, "shape"), {}};
  view.strides = strides == nullptr ? millrace::contiguous_strides(view.shape) : numbers(strides, "strides");

  millrace::refuse_in_forked_child(kCall);
  millrace::Core& core = *Access::core_of(required(device, "device").device);
  const millrace::sync::Gate::Pass pass = core.enter(kCall);
  const std::size_t bytes = millrace::Allocator::of(core).size_of(address, kCall);
  millrace::Buffer buffer = Access::make_buffer(core, address, bytes);
  try {
    return make(std::move(buffer), view);
  } catch (...) {
    static_cast<void>(buffer.release());  // the caller's still
    throw;
  }
}

std::size_t alignment_or_default(std::size_t alignment) {
  return alignment == 0 ? millrace::kDefaultAlignment : alignment;
}

}  // namespace

const char* millrace_last_error(void) {
  return Slot::get() == nullptr ? "" : Slot::get()->message.c_str();
}
const char* millrace_last_rule(void) {
  return Slot::get() == nullptr ? "" : Slot::get()->rule.c_str();
}

millrace_status millrace_device_open(const char* name, uint64_t memory_limit, millrace_device** device) {
  return guarded([&] {
    auto& out = required(device, "device");
    millrace::DeviceOptions options;
    options.memory_limit = memory_limit;
    out = new millrace_device{Device::open(&required(name, "name"), options)};
  });
}

void millrace_device_release(millrace_device* device) {
  delete device;
}

millrace_status millrace_device_close(millrace_device* device) {
  return guarded([&] { required(device, "device").device.close(); });
}

millrace_status millrace_device_synchronize(millrace_device* device) {
  return guarded([&] { required(device, "device").device.synchronize(); });
}

millrace_status millrace_device_memory(millrace_device* device, millrace_memory_stats* stats) {
  return guarded([&] { required(stats, "stats") = c(required(device, "device").device.memory()); });
}

millrace_status millrace_device_pinned_memory(millrace_device* device, millrace_memory_stats* stats) {
  return guarded([&] {
    required(stats, "stats") = c(required(device, "device").device.memory(millrace::MemoryKind::pinned));
  });
}

millrace_status millrace_device_trim(millrace_device* device, uint64_t* released) {
  return guarded([&] {
    const std::size_t bytes = required(device, "device").device.trim();
    if (released != nullptr) *released = bytes;
  });
}

millrace_status millrace_device_stream(millrace_device* device, millrace_stream* stream) {
  return guarded([&] { required(stream, "stream") = c(required(device, "device").device.stream()); });
}

millrace_status millrace_device_lease(millrace_device* device, millrace_lease** lease,
                                      millrace_stream* stream) {
  return guarded([&] {
    auto& out = required(lease, "lease");
    auto& out_stream = required(stream, "stream");
    auto made = std::make_unique<millrace_lease>(millrace_lease{required(device, "device").device.lease()});
    out_stream = c(made->lease.stream());
    out = made.release();
  });
}

millrace_status millrace_device_wrap(millrace_device* device, void* native, millrace_lease** lease,
                                     millrace_stream* stream) {
  return guarded([&] {
    auto& out = required(lease, "lease");
    auto& out_stream = required(stream, "stream");
    auto made =
        std::make_unique<millrace_lease>(millrace_lease{required(device, "device").device.wrap(native)});
    out_stream = c(made->lease.stream());
    out = made.release();
  });
}

void millrace_lease_end(millrace_lease* lease) {
  delete lease;
}

millrace_status millrace_allocate(millrace_device* device, size_t bytes, size_t alignment, void** address) {
  return guarded([&] {
    required(address, "address") =
        required(device, "device").device.allocate(bytes, alignment_or_default(alignment));
  });
}

millrace_status millrace_allocate_on(millrace_device* device, millrace_stream stream, size_t bytes,
                                     size_t alignment, void** address) {
  return guarded([&] {
    required(address, "address") =
        required(device, "device").device.allocate(cpp(stream), bytes, alignment_or_default(alignment));
  });
}

millrace_status millrace_allocate_pinned(millrace_device* device, size_t bytes, size_t alignment,
                                         void** address) {
  return guarded([&] {
    required(address, "address") =
        required(device, "device").device.allocate_pinned(bytes, alignment_or_default(alignment));
  });
}

millrace_status millrace_allocate_pinned_on(millrace_device* device, millrace_stream stream, size_t bytes,
                                            size_t alignment, void** address) {
  return guarded([&] {
    required(address, "address") =
        required(device, "device")
            .device.allocate_pinned(cpp(stream), bytes, alignment_or_default(alignment));
  });
}

millrace_status millrace_deallocate(millrace_device* device, void* address) {
  return guarded([&] { required(device, "device").device.deallocate(address); });
}

millrace_status millrace_record_use(millrace_device* device, const void* address, millrace_stream stream) {
  return guarded([&] { required(device, "device").device.record_use(address, cpp(stream)); });
}

millrace_status millrace_record_stream(millrace_device* device, const void* address, millrace_stream stream) {
  return guarded([&] { required(device, "device").device.record_stream(address, cpp(stream)); });
}

millrace_status millrace_to_dlpack(millrace_device* device, void* address, millrace_dtype dtype, int32_t dims,
                                   const int64_t* shape, const int64_t* strides, int32_t read_only,
                                   struct DLManagedTensorVersioned** tensor) {
  return guarded([&] {
    const auto allowed = read_only != 0 ? millrace::AccessMode::read : millrace::AccessMode::write;
    auto& out = required(tensor, "tensor");
    out = make_tensor(device, address, dtype, dims, shape, strides,
                      [&](millrace::Buffer&& buffer, const millrace::TensorView& view) {
                        return millrace::to_dlpack(std::move(buffer), view, allowed);
                      });
  });
}

millrace_status millrace_to_dlpack_unversioned(millrace_device* device, void* address, millrace_dtype dtype,
                                               int32_t dims, const int64_t* shape, const int64_t* strides,
                                               struct DLManagedTensor** tensor) {
  return guarded([&] {
    auto& out = required(tensor, "tensor");
    out = make_tensor(device, address, dtype, dims, shape, strides,
                      [](millrace::Buffer&& buffer, const millrace::TensorView& view) {
                        return millrace::to_dlpack_unversioned(std::move(buffer), view);
                      });
  });
}

millrace_status millrace_stream_copy(millrace_stream stream, void* to, const void* from, size_t bytes) {
  return guarded([&] { cpp(stream).copy(to, from, bytes); });
}

millrace_status millrace_stream_fill(millrace_stream stream, void* to, uint8_t value, size_t bytes) {
  return guarded([&] { cpp(stream).fill(to, value, bytes); });
}

millrace_status millrace_stream_run(millrace_stream stream, const char* name, void (*task)(void*),
                                    void* argument) {
  return guarded([&] {
    required(task, "task");
    cpp(stream).run(&required(name, "name"), [task, argument] { task(argument); });
  });
}

millrace_status millrace_stream_on_completed(millrace_stream stream, void (*handler)(void*, millrace_status),
                                             void* argument) {
  return guarded([&] {
    required(handler, "handler");
    cpp(stream).on_completed([handler, argument](const millrace::Completion& completion) {
      handler(argument, status_of(completion));
    });
  });
}

millrace_status millrace_stream_record_native(millrace_stream stream, millrace_native** recorder,
                                              void** native) {
  return guarded([&] {
    auto& out = required(recorder, "recorder");
    auto& out_native = required(native, "native");
    auto made = std::make_unique<millrace_native>(millrace_native{cpp(stream).record_native()});
    out_native = made->recorder.stream();
    out = made.release();
  });
}

void millrace_native_end(millrace_native* recorder) {
  delete recorder;
}

millrace_status millrace_stream_commit(millrace_stream stream) {
  return guarded([&] { cpp(stream).commit(); });
}

millrace_status millrace_stream_wait(millrace_stream stream) {
  return guarded([&] { cpp(stream).wait(); });
}

millrace_status millrace_event_create(millrace_device* device, millrace_event** event) {
  return guarded([&] {
    auto& out = required(event, "event");
    out = new millrace_event{required(device, "device").device.event()};
  });
}

void millrace_event_release(millrace_event* event) {
  delete event;
}

millrace_status millrace_event_record(millrace_event* event, millrace_stream stream) {
  return guarded([&] { required(event, "event").event.record(cpp(stream)); });
}

millrace_status millrace_event_wait(millrace_event* event) {
  return guarded([&] { required(event, "event").event.wait(); });
}

millrace_status millrace_event_query(millrace_event* event, int32_t* done) {
  return guarded([&] { required(done, "done") = required(event, "event").event.query() ? 1 : 0; });
}

millrace_status millrace_event_native(millrace_event* event, void** native) {
  return guarded([&] {
    auto& out = required(native, "native");
    out = required(event, "event").event.native();
  });
}

millrace_status millrace_stream_wait_event(millrace_stream stream, millrace_event* event) {
  return guarded([&] { cpp(stream).wait_event(required(event, "event").event); });
}
