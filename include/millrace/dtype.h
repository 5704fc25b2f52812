// Element types of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <millrace/export.h>

namespace millrace {

/// The types that elements can have: IEEE 754 floats, bfloat16, integers, booleans.
enum class DType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

inline constexpr int kDTypeCount = 10;

/// Bytes of one element. A boolean is one byte, 0 or 1.
constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::f16:
    case DType::bf16:
    case DType::i16: return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean: return 1;
  }
  return 0;
}

/// f64, f32, f16 or bf16?
constexpr bool is_floating(DType dtype) noexcept {
  return dtype == DType::f64 || dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

/// "f32", "bool", and so on.
MILLRACE_API std::string_view to_string(DType dtype) noexcept;
/// The inverse of to_string; nothing for an unknown name.
MILLRACE_API std::optional<DType> dtype_from(std::string_view name) noexcept;

}  // namespace millrace
