// SHA-256, as 64 hexadecimal digits.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace millrace::tool {

std::string sha256(std::string_view bytes);

/// Throws std::runtime_error when the file can't be read.
std::string sha256_of_file(const std::filesystem::path& path);

/// Throws std::runtime_error when the file can't be read.
std::string read_file(const std::filesystem::path& path);

}  // namespace millrace::tool
