// A device's memory as torch.cuda.memory_snapshot lists it.
#pragma once

#include <c10/core/Device.h>
#include <pybind11/pybind11.h>

namespace millrace_torch {

/// The segments of the device, which is open.
pybind11::list memory_snapshot(c10::DeviceIndex index);

}  // namespace millrace_torch
