#include <millrace/dtype.h>

#include <array>

namespace millrace {
namespace {

// In the order of the enumerators.
constexpr std::array<std::string_view, kDTypeCount> kNames = {"f64", "f32", "f16", "bf16", "i64",
                                                              "i32", "i16", "i8",  "u8",   "bool"};

}  // namespace

std::string_view to_string(DType dtype) noexcept {
  const auto index = static_cast<std::size_t>(dtype);
  return index < kNames.size() ? kNames[index] : std::string_view("unknown");
}

std::optional<DType> dtype_from(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace millrace
