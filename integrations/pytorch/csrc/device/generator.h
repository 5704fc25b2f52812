// Random numbers.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

namespace millrace_torch {

/// The device's own.
const at::Generator& default_generator(c10::DeviceIndex index);
at::Generator new_generator(c10::DeviceIndex index);

/// The CPU's generator that stands behind one of ours, or behind the default one of the device where none is
/// given, for an operator that is recorded now: seeds and states that are set later do not change it.
at::Generator generator_for_operator(const std::optional<at::Generator>& given, c10::DeviceIndex index);

}  // namespace millrace_torch
