// From a type known when the program runs to one known when it is compiled.
#pragma once

#include <millrace/dtype.h>

namespace millrace::host {

/// Calls visit.operator()<kType>().
template <typename Visit>
decltype(auto) for_type(DType dtype, Visit&& visit) {
  switch (dtype) {
    case DType::f64: return visit.template operator()<DType::f64>();
    case DType::f32: return visit.template operator()<DType::f32>();
    case DType::f16: return visit.template operator()<DType::f16>();
    case DType::bf16: return visit.template operator()<DType::bf16>();
    case DType::i64: return visit.template operator()<DType::i64>();
    case DType::i32: return visit.template operator()<DType::i32>();
    case DType::i16: return visit.template operator()<DType::i16>();
    case DType::i8: return visit.template operator()<DType::i8>();
    case DType::u8: return visit.template operator()<DType::u8>();
    case DType::boolean: break;
  }
  return visit.template operator()<DType::boolean>();
}

}  // namespace millrace::host
