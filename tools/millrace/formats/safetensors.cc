#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/file_format_error.h"
#include "formats/json_text.h"

namespace millrace::tool {
namespace {

using nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaxOffset = std::uint64_t{1} << 62;

std::optional<DType> dtype_of(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, DType>, kDTypeCount> kNames{{
      {"F64", DType::f64},
      {"F32", DType::f32},
      {"F16", DType::f16},
      {"BF16", DType::bf16},
      {"I64", DType::i64},
      {"I32", DType::i32},
      {"I16", DType::i16},
      {"I8", DType::i8},
      {"U8", DType::u8},
      {"BOOL", DType::boolean},
  }};
  const auto found = std::ranges::find(kNames, name, [](const auto& entry) { return entry.first; });
  if (found == kNames.end()) return std::nullopt;
  return found->second;
}

bool is_known_to_the_format(std::string_view name) {
  static constexpr std::string_view kOthers[] = {
      "U16",     "U32",     "U64",     "C64",     "F4",          "F6_E2M3",
      "F6_E3M2", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
  };
  return std::ranges::find(kOthers, name) != std::end(kOthers);
}

/// One tensor of the header, checked against nothing but its own form.
struct HeaderEntry {
  TensorEntry tensor;
  std::uint64_t at = 0;  // where in the file it is described
  std::optional<std::string> dtype;
  bool has_shape = false;
  std::vector<std::uint64_t> range;
};

/// Takes the parser's events in the one order that a header may have; everything else is an error at
/// once, so nesting never gets deeper than three and nothing is kept of what is refused.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  HeaderReader(const std::string& file, std::string_view header) : file_(file), header_(header) {}

  std::vector<HeaderEntry> read() {
    json::sax_parse(CountingIterator(header_.data(), &furthest_),
                    CountingIterator(header_.data() + header_.size(), &furthest_), this);
    return std::move(entries_);
  }

  bool null() override { return unexpected("null"); }
  bool boolean(bool value) override { return unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return unexpected(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return unexpected(text); }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::in_shape) {
      if (value > kMaxOffset) fail("a dimension below 2^62", std::to_string(value));
      std::vector<std::int64_t>& shape = entries_.back().tensor.shape;
      if (shape.size() == kMaxRank) fail(fmt::format("at most {} dimensions", kMaxRank), "more");
      shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (state_ == State::in_range) {
      std::vector<std::uint64_t>& range = entries_.back().range;
      if (range.size() == 2) fail("two data_offsets", "a third");
      range.push_back(value);
      return true;
    }
    return unexpected(std::to_string(value));
  }

  bool string(string_t& value) override {
    if (state_ == State::in_metadata) return true;
    if (state_ != State::dtype) return unexpected("\"" + value + "\"");
    entries_.back().dtype = value;
    state_ = State::in_tensor;
    return true;
  }

  bool start_object(std::size_t) override {
    switch (state_) {
      case State::start: state_ = State::top; return true;
      case State::metadata: state_ = State::in_metadata; return true;
      case State::tensor: state_ = State::in_tensor; return true;
      default: return unexpected("an object");
    }
  }

  bool end_object() override {
    if (state_ == State::in_tensor) {
      const HeaderEntry& entry = entries_.back();
      if (!entry.dtype) fail("a dtype" + of_tensor(), "none");
      if (!entry.has_shape) fail("a shape" + of_tensor(), "none");
      if (entry.range.size() != 2) fail("data_offsets" + of_tensor(), "none");
      state_ = State::top;
    } else if (state_ == State::in_metadata) {
      state_ = State::top;
    } else {
      state_ = State::end;
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ == State::shape) {
      entries_.back().has_shape = true;
      state_ = State::in_shape;
      return true;
    }
    if (state_ == State::range) {
      state_ = State::in_range;
      return true;
    }
    return unexpected("an array");
  }

  bool end_array() override {
    if (state_ == State::in_range && entries_.back().range.size() != 2) {
      fail("two data_offsets" + of_tensor(), std::to_string(entries_.back().range.size()));
    }
    state_ = State::in_tensor;
    return true;
  }

  bool key(string_t& name) override {
    if (state_ == State::top) {
      if (!names_.insert(name).second) fail("each key once", "a second " + quoted(name));
      if (name == "__metadata__") {
        state_ = State::metadata;
        return true;
      }
      entries_.emplace_back();
      entries_.back().tensor.name = name;
      entries_.back().at = here();
      state_ = State::tensor;
      return true;
    }
    if (state_ == State::in_metadata) {
      if (!metadata_.insert(name).second) fail("each key once", "a second " + quoted(name));
      return true;
    }
    const HeaderEntry& entry = entries_.back();
    bool again = false;
    if (name == "dtype") {
      again = entry.dtype.has_value();
      state_ = State::dtype;
    } else if (name == "shape") {
      again = entry.has_shape;
      state_ = State::shape;
    } else if (name == "data_offsets") {
      again = !entry.range.empty();
      state_ = State::range;
    } else {
      fail("dtype, shape or data_offsets" + of_tensor(), quoted(name));
    }
    if (again) fail("each key once" + of_tensor(), "a second " + name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    throw FileFormatError(file_, kLengthBytes + (position > 0 ? position - 1 : 0), "a JSON header",
                          "text that is not: " + json_complaint(error.what()));
  }

 private:
  enum class State {
    start,
    top,
    metadata,
    in_metadata,
    tensor,
    in_tensor,
    dtype,
    shape,
    in_shape,
    range,
    in_range,
    end,
  };

  std::uint64_t here() const {
    const auto read = static_cast<std::uint64_t>(furthest_ - header_.data());
    return kLengthBytes + (read > 0 ? read - 1 : 0);
  }

  static std::string quoted(std::string_view text) { return fmt::format("\"{}\"", printable(text)); }

  std::string of_tensor() const { return " of tensor " + quoted(entries_.back().tensor.name); }

  [[noreturn]] void fail(std::string expected, std::string found) const {
    throw FileFormatError(file_, here(), std::move(expected), std::move(found));
  }

  bool unexpected(std::string_view found) const {
    std::string expected;
    switch (state_) {
      case State::start: expected = "a JSON object"; break;
      case State::metadata: expected = "an object as __metadata__"; break;
      case State::in_metadata: expected = "strings in __metadata__"; break;
      case State::tensor: expected = "an object with dtype, shape and data_offsets" + of_tensor(); break;
      case State::dtype: expected = "a string as dtype" + of_tensor(); break;
      case State::shape:
      case State::in_shape: expected = "an array of whole numbers as shape" + of_tensor(); break;
      case State::range:
      case State::in_range: expected = "an array of two whole numbers as data_offsets" + of_tensor(); break;
      default: expected = "a key"; break;
    }
    fail(std::move(expected), printable(found));
  }

  const std::string& file_;
  std::string_view header_;
  const char* furthest_ = header_.data();
  State state_ = State::start;
  std::vector<HeaderEntry> entries_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> metadata_;
};

std::string_view header_of(std::span<const std::byte> bytes, const std::string& file) {
  if (bytes.size() < kLengthBytes) {
    throw FileFormatError(file, 0, "8 bytes of header length", fmt::format("a file of {}", bytes.size()));
  }
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) {
    length = length << 8U | std::to_integer<std::uint64_t>(bytes[i]);
  }
  const std::uint64_t rest = bytes.size() - kLengthBytes;
  if (length > rest) {
    throw FileFormatError(file, 0, fmt::format("a header of at most the {} bytes that follow", rest),
                          fmt::format("a header length of {}", length));
  }
  if (length > kMaxSafetensorsHeader) {
    throw FileFormatError(file, 0, fmt::format("a header of at most {} bytes", kMaxSafetensorsHeader),
                          fmt::format("a header length of {}", length));
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                                static_cast<std::size_t>(length));
  if (header.empty() || header.front() != '{') {
    throw FileFormatError(file, kLengthBytes, "a JSON header that begins with {",
                          header.empty() ? "an empty header" : "'" + printable(header.substr(0, 1)) + "'");
  }
  // The JSON reader takes a zero byte for the end of the text; what follows it would go unchecked.
  if (const std::size_t zero = header.find('\0'); zero != std::string_view::npos) {
    throw FileFormatError(file, kLengthBytes + zero, "JSON text", "a zero byte");
  }
  return header;
}

/// Sizes and offsets of one tensor, made offsets of the file.
TensorEntry check(HeaderEntry& entry, const std::string& file, std::uint64_t data_begin,
                  std::uint64_t data_bytes) {
  TensorEntry& tensor = entry.tensor;
  const std::string name = fmt::format(" of tensor \"{}\"", printable(tensor.name));
  const std::optional<DType> dtype = dtype_of(*entry.dtype);
  if (!dtype) {
    const bool known = is_known_to_the_format(*entry.dtype);
    throw FileFormatError(file, entry.at, "a dtype that Millrace has" + name,
                          fmt::format("{}, {}", printable(*entry.dtype),
                                      known ? "which safetensors knows and Millrace does not support"
                                            : "which is no dtype of safetensors"));
  }
  tensor.dtype = *dtype;
  const auto [begin, end] = std::pair(entry.range[0], entry.range[1]);
  if (begin > end || end > data_bytes) {
    throw FileFormatError(file, entry.at,
                          fmt::format("data_offsets{} within the {} bytes of data", name, data_bytes),
                          fmt::format("[{}, {}]", begin, end));
  }
  const std::optional<std::uint64_t> bytes = checked_bytes(tensor.shape, size_of(*dtype));
  if (!bytes) {
    throw FileFormatError(file, entry.at, "a shape" + name + " whose size fits 63 bits",
                          format_shape(tensor.shape));
  }
  if (*bytes != end - begin) {
    throw FileFormatError(
        file, entry.at,
        fmt::format("{} bytes{} for {} {}", *bytes, name, *entry.dtype, format_shape(tensor.shape)),
        fmt::format("{} in data_offsets", end - begin));
  }
  tensor.offset = data_begin + begin;
  tensor.bytes = *bytes;
  return std::move(tensor);
}

/// The ranges must tile the data: a hole could hide something, an overlap hands bytes out twice.
void check_tiling(const std::vector<TensorEntry>& tensors, const std::string& file, std::uint64_t data_begin,
                  std::uint64_t file_bytes) {
  std::uint64_t at = data_begin;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.offset != at) {
      throw FileFormatError(file, std::min(at, tensor.offset),
                            fmt::format("tensor \"{}\" to begin where the one before it ends, at byte {}",
                                        printable(tensor.name), at),
                            tensor.offset < at ? fmt::format("an overlap of {} bytes", at - tensor.offset)
                                               : fmt::format("a hole of {} bytes", tensor.offset - at));
    }
    at += tensor.bytes;
  }
  if (at != file_bytes) {
    throw FileFormatError(file, at, "the end of the file after the last tensor",
                          fmt::format("{} more bytes", file_bytes - at));
  }
}

}  // namespace

std::vector<TensorEntry> parse_safetensors(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view header = header_of(bytes, file);
  const std::uint64_t data_begin = kLengthBytes + header.size();
  const std::uint64_t data_bytes = bytes.size() - data_begin;
  std::vector<HeaderEntry> entries = HeaderReader(file, header).read();
  std::vector<TensorEntry> tensors;
  tensors.reserve(entries.size());
  for (HeaderEntry& entry : entries) tensors.push_back(check(entry, file, data_begin, data_bytes));
  // Headers may list tensors in any order. Stable, and by end as well: empty tensors share an offset
  // with the one that follows them.
  std::ranges::stable_sort(tensors, {}, [](const TensorEntry& t) { return std::pair(t.offset, t.bytes); });
  check_tiling(tensors, file, data_begin, bytes.size());
  return tensors;
}

}  // namespace millrace::tool
