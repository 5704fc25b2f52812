#include "device/backend.h"

#include <algorithm>
#include <new>
#include <utility>

namespace millrace {

Status Backend::native_stream(QueueId /*queue*/, void** stream) noexcept try {
  *stream = nullptr;
  return Status(ErrorCode::Unsupported,
                "the device has no streams of a driver's to put work on; record it as operations");
} catch (const std::bad_alloc&) {
  return Status::no_memory();
}

Status Backend::identify(void* /*stream*/, StreamLifetime /*lifetime*/, StreamIdentity* /*identity*/) noexcept
    try {
  return Status(
      ErrorCode::Unsupported,
      "the device has no streams of a driver's, so there is none to wrap; take one with Device::lease");
} catch (const std::bad_alloc&) {
  return Status::no_memory();
}

Status Backend::wrap(QueueId /*queue*/, void* /*stream*/, const StreamIdentity& /*identity*/,
                     bool* wrapped) noexcept {
  *wrapped = false;
  return {};
}

Status Backend::check_wrapped(QueueId /*queue*/) noexcept {
  return {};
}

void Backend::expect_capture(QueueId /*queue*/, bool /*expected*/) noexcept {}

bool Backend::number_of(void* /*stream*/, std::uint64_t* /*id*/) noexcept {
  return false;
}

bool Backend::finish(void* /*stream*/) noexcept {
  return true;
}

bool Backend::is_idle(QueueId /*queue*/) noexcept {
  return true;
}

Moved MemorySource::move(std::span<std::byte> range, void* to, std::size_t wanted,
                         std::size_t room) noexcept {
  const std::size_t bytes = std::min({range.size(), wanted, room});
  decommit(range.data(), bytes);
  Status committed = commit(to, bytes);
  const std::size_t arrived = committed.ok() ? bytes : 0;
  return {bytes, arrived, std::move(committed)};
}

void Backend::raise_priority(QueueId /*queue*/) noexcept {}

Status Backend::begin_capture(QueueId /*queue*/) noexcept try {
  return Status(ErrorCode::Unsupported,
                "the device has no graphs to capture work into; record the work each time it is to run");
} catch (const std::bad_alloc&) {
  return Status::no_memory();
}

Status Backend::begin_branch(QueueId queue, QueueId /*origin*/) noexcept {
  return begin_capture(queue);
}

Status Backend::end_capture(QueueId /*queue*/, std::span<const QueueId> /*branches*/,
                            sync::Ref<DeviceGraph>* /*graph*/) noexcept {
  return {};
}

Status Backend::check_capturable(const Operation& /*operation*/) const noexcept {
  return {};
}

Status Backend::lend_native_event(TimelinePoint /*point*/, void** event) noexcept try {
  *event = nullptr;
  return Status(
      ErrorCode::Unsupported,
      "the device has no events of a driver's; wait for the event itself, on a stream or on the host");
} catch (const std::bad_alloc&) {
  return Status::no_memory();
}

void Backend::return_native_event(QueueId /*queue*/, void* /*event*/) noexcept {}

Status Backend::grant_access(const std::string& other_device) {
  if (other_device == info().name) return {};
  return Status(ErrorCode::Unsupported, other_device + " has no way to the memory of " + info().name +
                                            "; copy through a stream of the device");
}

std::size_t memory_part(const DeviceInfo& info, std::size_t granule, double fraction, const char* what) {
  if (!(fraction > 0 && fraction <= 1)) {  // nor for a NaN
    throw Error(ErrorCode::InvalidArgument,
                std::string(what) + ": a fraction of " + std::to_string(fraction) +
                    " was given; it must be more than 0 and at most 1, a part of the device's memory",
                {.call = {}, .device = info.name, .stream = -1, .rule = {}});
  }
  if (fraction == 1) return info.memory_bytes;
  const auto bytes = static_cast<std::size_t>(fraction * static_cast<double>(info.memory_bytes));
  if (bytes < granule) {
    throw Error(ErrorCode::InvalidArgument,
                std::string(what) + ": a fraction of " + std::to_string(fraction) + " was given, which of " +
                    std::to_string(info.memory_bytes) + " bytes is less than a granule of " +
                    std::to_string(granule),
                {.call = {}, .device = info.name, .stream = -1, .rule = {}});
  }
  return bytes / granule * granule;
}

std::size_t memory_limit_of(const DeviceOptions& options, const DeviceInfo& info, std::size_t granule,
                            std::size_t usual) {
  const std::size_t most =
      memory_part(info, granule, options.memory_fraction, "DeviceOptions::memory_fraction");
  const std::size_t limit = options.memory_limit != 0 ? options.memory_limit : usual;
  return options.memory_fraction == 1 ? limit : std::min(limit, most);
}

}  // namespace millrace
