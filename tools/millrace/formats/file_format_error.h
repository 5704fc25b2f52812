// What every reader of files throws when a file is not what it claims to be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/error.h>

namespace millrace::tool {

/// One line: which file, where in it, what was expected there and what was found.
///
/// Thread safety: immutable once thrown.
class FileFormatError : public Error {
 public:
  /// offset: the byte of the file, or nothing where the file as a whole is meant.
  FileFormatError(std::string file, std::optional<std::uint64_t> offset, std::string expected,
                  std::string found);

  const std::string& file() const noexcept { return file_; }
  std::optional<std::uint64_t> offset() const noexcept { return offset_; }
  const std::string& expected() const noexcept { return expected_; }
  const std::string& found() const noexcept { return found_; }

 private:
  std::string file_;
  std::optional<std::uint64_t> offset_;
  std::string expected_;
  std::string found_;
};

/// Text from a file made fit for one line of a terminal: control characters and bytes that are not
/// UTF-8 become \xNN, and what is past limit becomes "...".
std::string printable(std::string_view text, std::size_t limit = 200);

}  // namespace millrace::tool
