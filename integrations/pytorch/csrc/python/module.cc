// The Python module millrace_torch._C.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/Device.h>
#include <torch/csrc/Stream.h>
#include <torch/csrc/utils/pybind.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "device/devices.h"
#include "device/generator.h"
#include "device/hooks.h"
#include "device/in_operator.h"
#include "device/streams.h"
#include "python/memory_snapshot.h"

namespace py = pybind11;

namespace millrace_torch {
namespace {

py::dict memory_of(int index, bool pinned) {
  const millrace::MemoryStats stats = translated([&] {
    return device_of(static_cast<c10::DeviceIndex>(index))
        .memory(pinned ? millrace::MemoryKind::pinned : millrace::MemoryKind::device);
  });
  py::dict result;
  result["live"] = stats.live;
  result["cached"] = stats.cached;
  result["pending"] = stats.pending;
  result["committed"] = stats.committed;
  result["limit"] = stats.limit;
  result["peak_live"] = stats.peak_live;
  result["peak_error"] = stats.peak_error;
  result["peak_committed"] = stats.peak_committed;
  result["allocations"] = stats.allocations;
  result["frees"] = stats.frees;
  result["allocated_bytes"] = stats.allocated_bytes;
  result["freed_bytes"] = stats.freed_bytes;
  result["heaps_created"] = stats.heaps_created;
  result["heaps_released"] = stats.heaps_released;
  result["out_of_memory"] = stats.out_of_memory;
  return result;
}

py::dict side_of(const millrace::MissingDependency::Side& side) {
  py::dict result;
  result["operator"] = side.operation;
  result["writes"] = side.mode == millrace::AccessMode::write;
  result["stream"] = side.stream;
  result["stack"] = side.place.file;
  return result;
}

py::list missing_dependencies_of(int index) {
  const auto found =
      translated([&] { return device_of(static_cast<c10::DeviceIndex>(index)).missing_dependencies(); });
  py::list result;
  for (const millrace::MissingDependency& missing : found) {
    py::dict entry;
    entry["address"] = reinterpret_cast<std::uintptr_t>(missing.address);
    entry["bytes"] = missing.bytes;
    entry["earlier"] = side_of(missing.earlier);
    entry["later"] = side_of(missing.later);
    result.append(entry);
  }
  return result;
}

}  // namespace
}  // namespace millrace_torch

PYBIND11_MODULE(_C, module) {
  using namespace millrace_torch;
  using NoGil = py::call_guard<py::gil_scoped_release>;

  register_hooks();

  module.def("device_count", [] { return device_count(); });
  module.def("current_device", [] { return static_cast<int>(current_device()); });
  module.def("exchange_device", [](int index) {
    return static_cast<int>(exchange_device(static_cast<c10::DeviceIndex>(index)));
  });
  module.def("is_open", [](int index) { return is_open(static_cast<c10::DeviceIndex>(index)); });
  module.def("synchronize", [](int index) { synchronize(static_cast<c10::DeviceIndex>(index)); });
  module.def("begin_exit", &begin_exit, NoGil());
  module.def("memory", &memory_of);
  module.def("memory_snapshot",
             [](int index) { return memory_snapshot(static_cast<c10::DeviceIndex>(index)); });
  module.def("workers",
             [](int index) { return device_of(static_cast<c10::DeviceIndex>(index)).info().workers; });
  module.def("memory_bytes",
             [](int index) { return device_of(static_cast<c10::DeviceIndex>(index)).info().memory_bytes; });
  module.def("missing_dependencies", &missing_dependencies_of);
  module.def("check_accounting", [](int index) {
    translated([&] { device_of(static_cast<c10::DeviceIndex>(index)).check_accounting(); });
  });
  module.def(
      "set_memory_limit",
      [](int index, std::size_t bytes) {
        translated([&] { device_of(static_cast<c10::DeviceIndex>(index)).set_memory_limit(bytes); });
      },
      NoGil());
  module.def(
      "set_memory_fraction",
      [](int index, double fraction) {
        translated([&] { device_of(static_cast<c10::DeviceIndex>(index)).set_memory_fraction(fraction); });
      },
      NoGil());
  module.def("default_generator",
             [](int index) { return default_generator(static_cast<c10::DeviceIndex>(index)); });

  module.def("current_stream", [](int index) {
    return static_cast<std::int64_t>(current_stream(static_cast<c10::DeviceIndex>(index)).id());
  });
  module.def(
      "lease_stream",
      [](int index) {
        return static_cast<std::int64_t>(lease_stream(static_cast<c10::DeviceIndex>(index))->id());
      },
      NoGil());
  module.def(
      "give_back_stream",
      [](int index, std::int64_t id) {
        give_back_stream(*stream_of(c10::Stream(
            c10::Stream::UNSAFE, c10::Device(kMillrace, static_cast<c10::DeviceIndex>(index)), id)));
      },
      NoGil());

  module.def(
      "configure",
      [](int devices, std::size_t memory_limit, int workers) {
        Config config = configured();
        if (devices > 0) config.devices = devices;
        config.options.memory_limit = memory_limit;
        config.options.workers = workers;
        configure(config);
      },
      py::arg("devices"), py::arg("memory_limit"), py::arg("workers"));
  module.def(
      "debug",
      [](bool protect, std::optional<std::uint64_t> chaos, std::optional<bool> synchronous) {
        Config config = configured();
        const auto looks = [](const millrace::DeviceOptions& options) {
          return options.protect || options.chaos;
        };
        const bool looked = looks(config.options);
        config.options.protect = protect;
        config.options.chaos = chaos;
        if (looked || looks(config.options)) reopen(config);
        wait_for_operators(synchronous);
      },
      py::arg("protect"), py::arg("chaos"), py::arg("synchronous"), NoGil());
}
