#include "formats/file_format_error.h"

#include <utility>

#include <fmt/format.h>

namespace millrace::tool {
namespace {

constexpr std::size_t kPathLimit = 4096;

std::string one_line(const std::string& file, std::optional<std::uint64_t> offset,
                     const std::string& expected, const std::string& found) {
  const std::string where = offset ? fmt::format(" at byte {}", *offset) : std::string();
  return fmt::format("{}{}: expected {}, found {}", printable(file, kPathLimit), where, expected, found);
}

/// The length of the UTF-8 sequence at the start of text; 0 if there is none. Overlong forms,
/// surrogates and C1 controls count as none: a terminal may act on them.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80U) return 1;
  if (first >= 0xC2U && first < 0xE0U && follows(1)) {
    return first == 0xC2U && byte(1) < 0xA0U ? 0 : 2;
  }
  if (first >= 0xE0U && first < 0xF0U && follows(1) && follows(2)) {
    if (first == 0xE0U && byte(1) < 0xA0U) return 0;
    if (first == 0xEDU && byte(1) >= 0xA0U) return 0;
    return 3;
  }
  if (first >= 0xF0U && first < 0xF5U && follows(1) && follows(2) && follows(3)) {
    if (first == 0xF0U && byte(1) < 0x90U) return 0;
    if (first == 0xF4U && byte(1) >= 0x90U) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

FileFormatError::FileFormatError(std::string file, std::optional<std::uint64_t> offset, std::string expected,
                                 std::string found)
    : Error(ErrorCode::FileFormat, one_line(file, offset, expected, found)),
      file_(std::move(file)),
      offset_(offset),
      expected_(std::move(expected)),
      found_(std::move(found)) {}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  while (!text.empty()) {
    if (out.size() >= limit) return out + "...";
    const auto first = static_cast<unsigned char>(text[0]);
    const std::size_t length = utf8_length(text);
    if (length == 0 || first < 0x20U || first == 0x7FU) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(first));
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

}  // namespace millrace::tool
