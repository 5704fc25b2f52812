// Reductions that the runtime has of its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <millrace/millrace.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "device/streams.h"

namespace millrace_torch {

/// Where an operator's arguments say what is reduced. Positions among its arguments; -1: there is none.
struct Reduction {
  millrace::ReduceOp op;
  int dims = -1;
  int dtype = -1;
  int correction = -1;
  int order = -1;                 ///< of a norm: the runtime has the second
  bool positions = false;         ///< the results are the extremes, and where they are
  bool no_dims_are_none = false;  ///< an empty list of dimensions reduces none of them; elsewhere all
};

/// Null where it is not one of them.
const Reduction* find_reduction(const std::string& operator_name);

/// Records it, if the runtime does what torch's operator does with these types and shapes.
bool record_reduction(const Reduction& reduction, OperatorStream& stream,
                      std::span<const c10::IValue> arguments, std::span<const at::Tensor> results);

}  // namespace millrace_torch
