#include "formats/rmm_csv.h"

#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "formats/file_format_error.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kFields = 6;

class CsvReader {
 public:
  CsvReader(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  AllocationLog read() {
    if (const std::string_view header = next_line(); header != kRmmColumns) {
      fail(header, fmt::format("the line \"{}\"", kRmmColumns), quoted(header));
    }
    while (at_ < text_.size()) read_entry(next_line());
    if (log_.entries == 0) {
      throw FileFormatError(file_, text_.size(), "events after the first line", "the end of the file");
    }
    log_.path = log_.name = file_;
    log_.format = "RMM CSV";
    log_.threads = threads_.take();
    log_.streams = streams_.take();
    return std::move(log_);
  }

 private:
  static std::string quoted(std::string_view text) { return fmt::format("\"{}\"", printable(text)); }

  /// Without its end, which must be there.
  std::string_view next_line() {
    ++line_;
    const std::size_t end = text_.find('\n', at_);
    if (end == std::string_view::npos) {
      throw FileFormatError(file_, text_.size(), fmt::format("the end of line {}", line_),
                            "the end of the file: the log was cut off; delete its last line");
    }
    std::string_view line = text_.substr(at_, end - at_);
    at_ = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

  /// where: a part of the text.
  [[noreturn]] void fail(std::string_view where, const std::string& expected, std::string found) const {
    throw FileFormatError(file_, static_cast<std::uint64_t>(where.data() - text_.data()),
                          fmt::format("{} in line {}", expected, line_), std::move(found));
  }

  std::array<std::string_view, kFields> split(std::string_view line) const {
    std::array<std::string_view, kFields> fields;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < kFields; ++i) {
      const std::size_t comma = line.find(',', begin);
      if ((comma == std::string_view::npos) != (i + 1 == kFields)) {
        fail(line, fmt::format("{} fields with commas between", kFields), quoted(line));
      }
      fields[i] = line.substr(begin, comma == std::string_view::npos ? comma : comma - begin);
      begin = comma + 1;
    }
    return fields;
  }

  std::uint64_t number(std::string_view field, int base, const char* what) const {
    std::string_view digits = field;
    if (base == 16 && (digits.starts_with("0x") || digits.starts_with("0X"))) digits.remove_prefix(2);
    std::uint64_t value = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, value, base);
    if (error != std::errc() || rest != end) fail(field, what, quoted(field));
    return value;
  }

  /// C libraries print a null pointer in this way.
  std::uint64_t pointer(std::string_view field, const char* what) const {
    return field == "(nil)" ? 0 : number(field, 16, what);
  }

  void read_entry(std::string_view line) {
    const auto [thread, time, action, address, size, stream] = split(line);
    LogEvent event;
    event.number = ++log_.entries;
    event.at = static_cast<std::uint64_t>(line.data() - text_.data());
    const std::uint64_t thread_name = number(thread, 10, "a thread as a decimal number");
    const std::uint64_t stream_name = pointer(stream, "a stream as a hexadecimal number");
    event.bytes = number(size, 10, "a size as a decimal number");
    if (event.bytes >= kMaxLoggedSize) fail(size, "a size below 2^48 bytes", quoted(size));
    if (action == "allocate failure") {
      ++log_.failures;
      return;
    }
    if (action != "allocate" && action != "free") {
      fail(action, "allocate, free or allocate failure", quoted(action));
    }
    event.action = action == "free" ? LogAction::release : LogAction::allocate;
    event.address = pointer(address, "a pointer as a hexadecimal number");
    if (event.address == 0) {
      if (event.action == LogAction::allocate && event.bytes > 0) {
        fail(address, "an address other than null", quoted(address));
      }
      return;
    }
    event.thread = threads_.index_of(thread_name);
    event.stream = streams_.index_of(stream_name);
    log_.events.push_back(event);
  }

  const std::string& file_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::uint64_t line_ = 0;
  AllocationLog log_;
  NameList threads_, streams_;
};

}  // namespace

AllocationLog parse_rmm_csv(std::span<const std::byte> bytes, const std::string& file) {
  return CsvReader(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}).read();
}

}  // namespace millrace::tool
