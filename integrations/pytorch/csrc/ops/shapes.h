// What an operator's results look like, before it has run.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/util/DimVector.h>

#include <memory>
#include <span>
#include <vector>

#include "ops/operator_info.h"

namespace millrace_torch {

struct Shape {
  bool defined = false;
  at::DimVector sizes, strides;
  std::int64_t storage_offset = 0;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
};

struct Shapes {
  std::vector<std::vector<Shape>> returns;  ///< by result; of a list all
  std::vector<Shape> outs;                  ///< what the out= arguments have to be
};

/// Asks the operator's meta kernel, whose errors are the caller's: shapes that do not fit, say. What it has
/// said before the thread remembers. Null where there is none, or where the shape is in the data.
std::shared_ptr<const Shapes> infer(const c10::OperatorHandle& op, const OperatorInfo& info,
                                    std::span<const c10::IValue> arguments);

}  // namespace millrace_torch
