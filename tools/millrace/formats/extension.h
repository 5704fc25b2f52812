// File names compared without regard to case, as extensions are.
#pragma once

#include <filesystem>
#include <string>

namespace millrace::tool {

inline std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// ".npy"; "" where there is none.
inline std::string lower_extension(const std::filesystem::path& path) {
  return lower_case(path.extension().string());
}

}  // namespace millrace::tool
