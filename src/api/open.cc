#include "api/open.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

#include "backends/cuda/backend.h"
#include "backends/host/backend.h"
#include "backends/host/machine.h"
#include "event/pool.h"
#include "memory/allocator.h"
#include "stream/pool.h"

namespace millrace {
namespace {

constexpr int kMaxStreams = 1024;
constexpr int kMaxHostDevices = 64;
constexpr int kMaxCaptures = 64;
constexpr int kMaxWorkers = 1024;

[[noreturn]] void refuse_name(std::string_view name) {
  std::string message =
      "there is no device \"" + std::string(name) +
      "\"; \"auto\", \"host\" and \"host:0\" to \"host:" + std::to_string(kMaxHostDevices - 1) +
      "\" can be opened";
  for (const DeviceInfo& info : cuda::available_devices()) message += ", \"" + info.name + "\"";
  if (name.starts_with("cuda")) {
    if (const std::string absence = cuda::absence(); !absence.empty()) message += "; " + absence;
  }
  throw Error(ErrorCode::InvalidArgument, std::move(message),
              {.call = "Device::open", .device = {}, .rule = {}});
}

int host_index(std::string_view name) {
  constexpr std::string_view kPrefix = "host:";
  if (!name.starts_with(kPrefix)) refuse_name(name);
  const std::string_view digits = name.substr(kPrefix.size());
  int index = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (error != std::errc() || end != digits.data() + digits.size() || index < 0 || index >= kMaxHostDevices) {
    refuse_name(name);
  }
  return index;
}

void check_range(const char* what, int value, int least, int most) {
  if (value >= least && value <= most) return;
  throw Error(ErrorCode::InvalidArgument,
              std::string("DeviceOptions::") + what + " is " + std::to_string(value) + "; it must be from " +
                  std::to_string(least) + " to " + std::to_string(most),
              {.call = "Device::open", .device = {}, .rule = {}});
}

Geometry geometry_of(const MemorySource& memory, std::size_t limit, SegmentGrowth growth) {
  Geometry geometry;
  geometry.growth = growth;
  geometry.granule = memory.granule();
  if (growth == SegmentGrowth::fixed) geometry.large_unit = geometry.small_unit;
  // Growing in place wants room to grow; address space costs nothing until it is used.
  geometry.heap_bytes = round_up(std::clamp(limit > geometry.heap_bytes / 4 ? geometry.heap_bytes : 4 * limit,
                                            kGiB, geometry.heap_bytes),
                                 geometry.granule);
  return geometry;
}

}  // namespace

std::string full_device_name(std::string_view name) {
  if (name == "auto" || name == "host") return "host:0";
  if (name.starts_with("cuda")) {
    std::string full = cuda::full_name(name);
    if (full.empty()) refuse_name(name);
    return full;
  }
  return "host:" + std::to_string(host_index(name));
}

std::vector<DeviceInfo> available_devices() {
  std::vector<DeviceInfo> devices{host::make_host_backend(0, DeviceOptions())->info()};
  for (DeviceInfo& info : cuda::available_devices()) devices.push_back(std::move(info));
  return devices;
}

std::vector<AbsentBackend> absent_backends() {
  std::vector<AbsentBackend> absent;
  if (std::string why = cuda::absence(); !why.empty()) absent.push_back({"cuda", std::move(why)});
  return absent;
}

sync::Ref<Core> build_device(const std::string& name, const DeviceOptions& options) {
  check_range("streams", options.streams, 1, kMaxStreams);
  check_range("high_priority_streams", options.high_priority_streams, 0, kMaxStreams);
  check_range("captures", options.captures, 0, kMaxCaptures);
  check_range("wrapped_streams", options.wrapped_streams, 0, kMaxStreams);
  check_range("workers", options.workers, 0, kMaxWorkers);

  std::unique_ptr<Backend> backend = name.starts_with("cuda")
                                         ? cuda::make_backend(name, options)
                                         : host::make_host_backend(host_index(name), options);
  return build_device(name, options, std::move(backend));
}

sync::Ref<Core> build_device(const std::string& name, const DeviceOptions& options,
                             std::unique_ptr<Backend> backend) {
  auto core = sync::make_ref<Core>(name, options, std::move(backend));
  Backend& device = core->backend();
  const std::size_t limit =
      memory_limit_of(options, device.info(), device.granule(), device.default_memory_limit());
  const std::size_t pinned_limit =
      options.pinned_limit != 0 ? options.pinned_limit : host::machine_memory() / 2;
  const Geometry geometry = geometry_of(device, limit, options.segments);
  const Geometry pinned_geometry = geometry_of(device.pinned(), pinned_limit, SegmentGrowth::in_place);
  Geometry both = geometry;
  both.granule = std::min(geometry.granule, pinned_geometry.granule);
  const auto map = std::make_shared<PageMap>(both);

  core->install(LayerId::streams, std::make_unique<StreamPool>(
                                      *core, StreamPool::Options::from(options, core->backend().info())));
  core->install(LayerId::events, std::make_unique<EventPool>(*core));
  auto allocator =
      std::make_unique<Allocator>(*core, Allocator::Kind{MemoryKind::device, device, geometry, limit}, map);
  core->set_use_checker(allocator.get());
  core->install(LayerId::memory, std::move(allocator));
  core->install(
      LayerId::pinned,
      std::make_unique<Allocator>(
          *core, Allocator::Kind{MemoryKind::pinned, device.pinned(), pinned_geometry, pinned_limit}, map));

  const Status started = core->backend().start(StreamPool::of(*core).size(), StreamPool::of(*core));
  if (!started.ok()) {
    core->close(CloseMode::drain);
    started.throw_if_failed();
  }
  StreamPool::of(*core).raise_priorities();
  return core;
}

}  // namespace millrace
