// Lists of operators by name.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace millrace_torch {

template <std::size_t n>
bool is_among(const std::array<std::string_view, n>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace millrace_torch
