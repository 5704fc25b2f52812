// What the tests of file formats share: folders that clean up, files made by hand, refusals.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/file_format_error.h"

namespace millrace::tool {

/// A folder that is gone after the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;  // a folder left behind in /tmp fails no test
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path(std::string_view name = "") const { return (path_ / name).string(); }

  std::string file(std::string_view name, std::string_view content) const {
    const std::filesystem::path path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }

 private:
  std::filesystem::path path_;
};

inline std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* const data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

/// count bytes of a number, the lowest first.
inline std::string little_endian(std::uint64_t value, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text.push_back(static_cast<char>(value >> (8 * i) & 0xFFU));
  return text;
}

/// A .safetensors file of this header and as many bytes of data.
inline std::string safetensors_file(std::string_view header, std::size_t data_bytes) {
  return little_endian(header.size(), 8) + std::string(header) + std::string(data_bytes, '\0');
}

/// A .npy file of version 1 with this header and as many bytes of data.
inline std::string npy_file(std::string_view header, std::size_t data_bytes) {
  return std::string("\x93NUMPY\x01\x00", 8) + little_endian(header.size(), 2) + std::string(header) +
         std::string(data_bytes, '\0');
}

/// Runs what must throw FileFormatError and says what it expected and found, with the offset.
struct Refusal {
  std::string message = "(accepted)";
  std::optional<std::uint64_t> offset;
};

inline Refusal refusal_of(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const FileFormatError& error) {
    EXPECT_EQ(error.message().find('\n'), std::string::npos) << "more than one line: " << error.message();
    EXPECT_EQ(error.code(), ErrorCode::FileFormat);
    return {error.message(), error.offset()};
  }
  return {};
}

}  // namespace millrace::tool
