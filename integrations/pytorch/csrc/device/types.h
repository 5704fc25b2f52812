// Types of numbers that torch has names for and the CPU no kernels.
#pragma once

#include <c10/core/ScalarType.h>

namespace millrace_torch {

/// Do kernels take them: are they more than a number of bits with a name?
inline bool has_kernels(c10::ScalarType type) {
  using c10::ScalarType;
  switch (type) {
    case ScalarType::UInt1:
    case ScalarType::UInt2:
    case ScalarType::UInt3:
    case ScalarType::UInt4:
    case ScalarType::UInt5:
    case ScalarType::UInt6:
    case ScalarType::UInt7:
    case ScalarType::Int1:
    case ScalarType::Int2:
    case ScalarType::Int3:
    case ScalarType::Int4:
    case ScalarType::Int5:
    case ScalarType::Int6:
    case ScalarType::Int7:
    case ScalarType::Float4_e2m1fn_x2: return false;
    default: return !c10::isQIntType(type) && !c10::isBitsType(type);
  }
}

}  // namespace millrace_torch
