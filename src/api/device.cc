#include <millrace/device.h>

#include <utility>

#include "api/access.h"
#include "api/open.h"
#include "device/fork.h"
#include "device/registry.h"
#include "device/thread_contexts.h"
#include "event/pool.h"
#include "memory/allocator.h"
#include "stream/pool.h"

namespace millrace {
namespace {

using detail::Access;

Core& open_core(detail::Core* core, const char* call) {
  refuse_in_forked_child(call);
  if (core == nullptr) {
    throw Error(ErrorCode::Closed, "the device handle is empty; get one from Device::open",
                {.call = call, .device = {}, .rule = {}});
  }
  return *core;
}

/// Throws InvalidArgument for a stream of another device, rule "stale-stream". Whether the device is open is
/// for what uses the slot to say.
int slot_on(Core& core, Stream stream, const char* call) {
  if (Access::device_of(stream) != core.id()) {
    throw Error(ErrorCode::InvalidArgument, "the stream belongs to another device, or to none",
                core.error_context(call, stream.id()));
  }
  StreamPool::of(core).check_lease(Access::id_of(stream), call);
  return stream.id();
}

/// The calling thread's context; made if the device is open.
Context& context_on(detail::Core* core, const char* call) {
  if (core != nullptr) {
    if (Context* context = ThreadContexts::find(core->id())) [[likely]]
      return *context;
  }
  return ThreadContexts::create(open_core(core, call));
}

}  // namespace

Device Device::open(std::string_view name, const DeviceOptions& options) {
  return Device(Registry::get().open(full_device_name(name), options, &build_device).release());
}

Device Device::create(std::string_view name, const DeviceOptions& options) {
  return Device(Registry::get().create(full_device_name(name), options, &build_device).release());
}

std::vector<DeviceInfo> Device::available() {
  return available_devices();
}

std::vector<AbsentBackend> Device::absent() {
  return absent_backends();
}

Device::Device(const Device& other) noexcept : core_(other.core_) {
  if (core_ != nullptr) core_->add_handle();
}

Device::Device(Device&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}

Device& Device::operator=(Device other) noexcept {
  std::swap(core_, other.core_);
  return *this;
}

Device::~Device() {
  if (core_ != nullptr) core_->drop_handle();
}

void Device::close() {
  constexpr const char* kCall = "Device::close";
  Core& core = open_core(core_, kCall);
  if (core.on_device_thread()) {
    throw_rule(
        "close-in-handler",
        "a close waits for the handler that called it; drop the last handle instead, which defers the close",
        core.error_context(kCall));
  }
  core.close(CloseMode::drain);
}

bool Device::is_open() const noexcept {
  return core_ != nullptr && core_->is_open();
}

const DeviceInfo& Device::info() const {
  return open_core(core_, "Device::info").backend().info();
}

void* Device::allocate(std::size_t bytes, std::size_t alignment) {
  Context& context = context_on(core_, "Device::allocate");
  return Allocator::of(*core_).allocate(context, Allocator::kCurrentSlot, bytes, alignment);
}

void* Device::allocate(Stream stream, std::size_t bytes, std::size_t alignment) {
  constexpr const char* kCall = "Device::allocate";
  Context& context = context_on(core_, kCall);
  return Allocator::of(*core_).allocate(context, slot_on(*core_, stream, kCall), bytes, alignment);
}

void Device::deallocate(void* address) {
  if (address == nullptr || core_ == nullptr || forked()) return;
  if (Context* const context = ThreadContexts::find(core_->id()))
    return Allocator::of(*core_).deallocate(*context, address, Allocator::OnMisuse::raise);
  try {
    Allocator::deallocate_first(*core_, address, Allocator::OnMisuse::raise);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Closed) throw;
  }
}

std::size_t Device::size_of(const void* address) const {
  constexpr const char* kCall = "Device::size_of";
  Core& core = open_core(core_, kCall);
  const auto pass = core.enter(kCall);
  return Allocator::of(core).size_of(address, kCall);
}

void Device::note_requested(const void* address, std::size_t bytes) {
  constexpr const char* kCall = "Device::note_requested";
  Context& context = context_on(core_, kCall);
  Allocator::of(*core_).note_requested(context, address, bytes, kCall);
}

Buffer Device::buffer(std::size_t bytes, std::size_t alignment) {
  void* data = allocate(bytes, alignment);
  return Buffer(core_->id(), data, bytes);
}

Buffer Device::buffer(Stream stream, std::size_t bytes, std::size_t alignment) {
  void* data = allocate(stream, bytes, alignment);
  return Buffer(core_->id(), data, bytes);
}

void* Device::allocate_pinned(std::size_t bytes, std::size_t alignment) {
  Context& context = context_on(core_, "Device::allocate_pinned");
  return Allocator::of(*core_, MemoryKind::pinned)
      .allocate(context, Allocator::kCurrentSlot, bytes, alignment);
}

void* Device::allocate_pinned(Stream stream, std::size_t bytes, std::size_t alignment) {
  constexpr const char* kCall = "Device::allocate_pinned";
  Context& context = context_on(core_, kCall);
  return Allocator::of(*core_, MemoryKind::pinned)
      .allocate(context, slot_on(*core_, stream, kCall), bytes, alignment);
}

Buffer Device::pinned_buffer(std::size_t bytes, std::size_t alignment) {
  void* data = allocate_pinned(bytes, alignment);
  return Buffer(core_->id(), data, bytes);
}

Buffer Device::pinned_buffer(Stream stream, std::size_t bytes, std::size_t alignment) {
  void* data = allocate_pinned(stream, bytes, alignment);
  return Buffer(core_->id(), data, bytes);
}

void Device::record_use(const void* address, Stream stream) {
  constexpr const char* kCall = "Device::record_use";
  Core& core = open_core(core_, kCall);
  const auto pass = core.enter(kCall);
  Allocator::of(core).record_use(address, slot_on(core, stream, kCall), false, kCall);
}

void Device::record_stream(const void* address, Stream stream) {
  constexpr const char* kCall = "Device::record_stream";
  Core& core = open_core(core_, kCall);
  const auto pass = core.enter(kCall);
  Allocator::of(core).record_use(address, slot_on(core, stream, kCall), true, kCall);
}

void Device::make_discardable(void* address) {
  Core& core = open_core(core_, "Device::make_discardable");
  const auto pass = core.enter("Device::make_discardable");
  Allocator::of(core).make_discardable(address);
}

bool Device::make_resident(void* address) {
  Core& core = open_core(core_, "Device::make_resident");
  const auto pass = core.enter("Device::make_resident");
  return Allocator::of(core).make_resident(address);
}

Stream Device::stream() {
  Context& context = context_on(core_, "Device::stream");
  return Access::make_stream(*core_, StreamPool::current(context, "Device::stream"));
}

Stream Device::default_stream() {
  Core& core = open_core(core_, "Device::default_stream");
  const auto pass = core.enter("Device::default_stream");
  return Access::make_stream(core, StreamPool::of(core).default_stream());
}

StreamLease Device::lease(StreamPriority priority) {
  constexpr const char* kCall = "Device::lease";
  Context& context = context_on(core_, kCall);
  return Access::make_lease(
      Access::make_stream(*core_, StreamPool::of(*core_).lease(context, kCall, priority)));
}

StreamLease Device::wrap(void* native_stream, StreamLifetime lifetime) {
  constexpr const char* kCall = "Device::wrap";
  Core& core = open_core(core_, kCall);
  return Access::make_lease(
      Access::make_stream(core, StreamPool::of(core).wrap(native_stream, lifetime, kCall)));
}

Event Device::event() {
  Core& core = open_core(core_, "Device::event");
  Context& context = Access::context_of(core.id(), "Device::event");
  const EventPool::Lease lease = EventPool::of(core).get(context, "Device::event");
  return Access::make_event(core, lease.slot, lease.number);
}

void Device::grant_access(const Device& other) {
  constexpr const char* kCall = "Device::grant_access";
  Core& core = open_core(core_, kCall);
  const std::string& name = open_core(other.core_, kCall).name();
  const auto pass = core.enter(kCall);
  core.throw_if_failed(core.backend().grant_access(name), kCall);
}

MemoryStats Device::memory(MemoryKind kind) const {
  Core& core = open_core(core_, "Device::memory");
  const auto pass = core.enter("Device::memory");
  return Allocator::of(core, kind).stats();
}

std::vector<MemorySegment> Device::memory_segments(MemoryKind kind) const {
  Core& core = open_core(core_, "Device::memory_segments");
  const auto pass = core.enter("Device::memory_segments");
  return Allocator::of(core, kind).segments();
}

MemoryStatistics Device::memory_statistics(MemoryKind kind) const {
  Core& core = open_core(core_, "Device::memory_statistics");
  const auto pass = core.enter("Device::memory_statistics");
  return Allocator::of(core, kind).statistics();
}

void Device::add_memory_observer(std::shared_ptr<MemoryObserver> observer) {
  constexpr const char* kCall = "Device::add_memory_observer";
  Core& core = open_core(core_, kCall);
  const auto pass = core.enter(kCall);
  if (observer == nullptr)
    throw Error(ErrorCode::InvalidArgument, "the observer is null", core.error_context(kCall));
  for (const MemoryKind kind : {MemoryKind::device, MemoryKind::pinned})
    Allocator::of(core, kind).add_observer(observer);
}

StreamStats Device::streams() const {
  Core& core = open_core(core_, "Device::streams");
  const auto pass = core.enter("Device::streams");
  return StreamPool::of(core).stats();
}

std::vector<MissingDependency> Device::missing_dependencies() const {
  return open_core(core_, "Device::missing_dependencies").backend().missing_dependencies();
}

std::size_t Device::trim() {
  Core& core = open_core(core_, "Device::trim");
  const auto pass = core.enter("Device::trim");
  return Allocator::of(core).trim() + Allocator::of(core, MemoryKind::pinned).trim();
}

void Device::set_memory_limit(std::size_t bytes, MemoryKind kind) {
  Core& core = open_core(core_, "Device::set_memory_limit");
  const auto pass = core.enter("Device::set_memory_limit");
  Allocator::of(core, kind).set_limit(bytes);
}

void Device::set_memory_fraction(double fraction) {
  constexpr const char* kCall = "Device::set_memory_fraction";
  Core& core = open_core(core_, kCall);
  const auto pass = core.enter(kCall);
  const Backend& device = core.backend();
  Allocator::of(core).set_limit(memory_part(device.info(), device.granule(), fraction, kCall));
}

void Device::reset_peaks() {
  Core& core = open_core(core_, "Device::reset_peaks");
  const auto pass = core.enter("Device::reset_peaks");
  for (const MemoryKind kind : {MemoryKind::device, MemoryKind::pinned})
    Allocator::of(core, kind).reset_peaks();
}

void Device::check_accounting() const {
  Core& core = open_core(core_, "Device::check_accounting");
  const auto pass = core.enter("Device::check_accounting");
  for (const MemoryKind kind : {MemoryKind::device, MemoryKind::pinned})
    Allocator::of(core, kind).check_accounting();
}

void Device::synchronize() {
  StreamPool::of(open_core(core_, "Device::synchronize")).synchronize("Device::synchronize");
}

}  // namespace millrace
