// Copies between tensors of the device, and between those and the host's.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "device/streams.h"

namespace millrace_torch {

/// Puts a copy on the stream, after what it was given before, as the operator `name`. One of the two is of the
/// stream's device; a tensor of the host's is kept until the copy has run.
void record_copy(OperatorStream& stream, const std::string& name, const at::Tensor& from, const at::Tensor& to);

}  // namespace millrace_torch
