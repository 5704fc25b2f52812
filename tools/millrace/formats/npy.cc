#include "formats/npy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "formats/file_format_error.h"

namespace millrace::tool {
namespace {

/// What the dict of the header says.
struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

/// Reads the one kind of Python literal that a header may be: a dict of a string, a bool and a tuple
/// of whole numbers. No recursion, no expression.
class HeaderReader {
 public:
  HeaderReader(const std::string& file, std::string_view text, std::uint64_t begin)
      : file_(file), text_(text), begin_(begin) {}

  Header read() {
    Header header;
    need('{', "a Python dict");
    while (!take('}')) {
      const std::string key = string("a key in quotes");
      need(':', "a colon after the key");
      value(key, header);
      if (!take(',')) {
        need('}', "a comma or the end of the dict");
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) fail("nothing after the dict", next());
    if (!header.descr) fail("the key 'descr'", "none");
    if (!header.fortran_order) fail("the key 'fortran_order'", "none");
    if (!header.shape) fail("the key 'shape'", "none");
    return header;
  }

  [[noreturn]] void fail(std::string expected, std::string found) const {
    throw FileFormatError(file_, begin_ + at_, std::move(expected), std::move(found));
  }

 private:
  void value(const std::string& key, Header& header) {
    if (key == "descr") {
      if (header.descr) fail("each key once", "a second 'descr'");
      skip_space();
      if (at_ < text_.size() && text_[at_] == '[') {
        fail("one element type", "a structured type, which is several; save its fields one by one");
      }
      header.descr = string("the element type in quotes");
    } else if (key == "fortran_order") {
      if (header.fortran_order) fail("each key once", "a second 'fortran_order'");
      header.fortran_order = boolean();
    } else if (key == "shape") {
      if (header.shape) fail("each key once", "a second 'shape'");
      header.shape = tuple();
    } else {
      fail("'descr', 'fortran_order' or 'shape'", "'" + printable(key) + "'");
    }
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }

  bool take(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void need(char c, const char* what) {
    if (!take(c)) fail(what, next());
  }

  std::string next() const {
    if (at_ == text_.size()) return "the end of the header";
    return "'" + printable(text_.substr(at_, 12)) + "'";
  }

  std::string string(const char* what) {
    skip_space();
    if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) fail(what, next());
    const std::size_t end = text_.find(text_[at_], at_ + 1);
    if (end == std::string_view::npos) fail("the end of the string", "the end of the header");
    std::string result(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return result;
  }

  bool boolean() {
    skip_space();
    for (const auto& [word, result] : {std::pair<std::string_view, bool>("True", true), {"False", false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return result;
      }
    }
    fail("True or False", next());
  }

  std::vector<std::int64_t> tuple() {
    need('(', "a tuple of whole numbers as shape");
    std::vector<std::int64_t> shape;
    while (!take(')')) {
      if (shape.size() == kMaxRank) fail(fmt::format("at most {} dimensions", kMaxRank), "more");
      shape.push_back(number());
      if (!take(',')) {
        // (3) is a number to Python, not a tuple, but NumPy never writes it and nothing else is meant.
        need(')', "a comma or the end of the shape");
        break;
      }
    }
    return shape;
  }

  std::int64_t number() {
    skip_space();
    const std::size_t first = at_;
    std::int64_t result = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(result, std::int64_t{10}, &result) ||
          __builtin_add_overflow(result, static_cast<std::int64_t>(text_[at_] - '0'), &result)) {
        fail("a dimension below 2^63", "a larger number");
      }
    }
    if (at_ == first) fail("a whole number in the shape", next());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // as Python 2 wrote them
    return result;
  }

  const std::string& file_;
  std::string_view text_;
  std::uint64_t begin_;
  std::size_t at_ = 0;
};

std::optional<DType> dtype_of(std::string_view kind_and_size) {
  static constexpr std::array<std::pair<std::string_view, DType>, 9> kNames{{
      {"f8", DType::f64},
      {"f4", DType::f32},
      {"f2", DType::f16},
      {"i8", DType::i64},
      {"i4", DType::i32},
      {"i2", DType::i16},
      {"i1", DType::i8},
      {"u1", DType::u8},
      {"b1", DType::boolean},
  }};
  const auto found = std::ranges::find(kNames, kind_and_size, [](const auto& entry) { return entry.first; });
  if (found == kNames.end()) return std::nullopt;
  return found->second;
}

DType check_descr(const std::string& descr, const HeaderReader& reader) {
  const std::string quoted = "'" + printable(descr) + "'";
  std::string_view rest = descr;
  char order = '=';
  if (!rest.empty() && std::string_view("<>=|").find(rest[0]) != std::string_view::npos) {
    order = rest[0];
    rest.remove_prefix(1);
  }
  if (rest.starts_with('O')) {
    reader.fail("an array of numbers",
                quoted +
                    ", an array of objects, which is refused: it is a pickle, and loading one runs "
                    "whatever code its author put there");
  }
  const std::optional<DType> dtype = dtype_of(rest);
  if (!dtype) {
    static constexpr std::string_view kNumPyKinds = "biufcmMSaUV";
    const bool known = !rest.empty() && kNumPyKinds.find(rest[0]) != std::string_view::npos;
    reader.fail("an element type that Millrace has",
                quoted + (known ? ", which NumPy knows and Millrace does not support"
                                : ", which is no element type of NumPy"));
  }
  if (order == '>' && size_of(*dtype) > 1) {
    reader.fail("little-endian elements",
                fmt::format("{}, big-endian; save it again with array.astype('<{}')", quoted, rest));
  }
  return *dtype;
}

}  // namespace

std::size_t npy_head_bytes(std::span<const std::byte> start) {
  if (start.size() < kNpyPreamble || std::memcmp(start.data(), kNpyMagic.data(), kNpyMagic.size()) != 0) {
    return kNpyPreamble;
  }
  const auto byte = [&](std::size_t i) { return std::to_integer<std::uint64_t>(start[i]); };
  const bool long_length = byte(kNpyMagic.size()) > 1;
  std::uint64_t length = byte(8) | byte(9) << 8U;
  if (long_length) length |= byte(10) << 16U | byte(11) << 24U;
  return static_cast<std::size_t>((long_length ? 12 : 10) + std::min(length, kMaxNpyHeader));
}

TensorEntry parse_npy(std::span<const std::byte> bytes, const std::string& file) {
  TensorEntry tensor = parse_npy_head(bytes, bytes.size(), file);
  tensor.name = std::filesystem::path(file).stem().string();
  return tensor;
}

TensorEntry parse_npy_head(std::span<const std::byte> bytes, std::uint64_t total, const std::string& file) {
  if (bytes.size() < kNpyMagic.size() || std::memcmp(bytes.data(), kNpyMagic.data(), kNpyMagic.size()) != 0) {
    throw FileFormatError(file, 0, "the magic \\x93NUMPY of a .npy file", "something else");
  }
  const auto byte = [&](std::size_t i) { return std::to_integer<std::uint64_t>(bytes[i]); };
  std::uint64_t at = kNpyMagic.size() + 2;
  if (bytes.size() < at)
    throw FileFormatError(file, kNpyMagic.size(), "a format version", "the end of the file");
  const std::uint64_t version = byte(kNpyMagic.size());
  if (version < 1 || version > 3) {
    throw FileFormatError(file, kNpyMagic.size(), "format version 1, 2 or 3", std::to_string(version));
  }
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  if (bytes.size() < at + length_bytes) {
    throw FileFormatError(file, at, fmt::format("{} bytes of header length", length_bytes),
                          "the end of the file");
  }
  std::uint64_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;) length = length << 8U | byte(static_cast<std::size_t>(at) + i);
  const std::uint64_t limit = std::min<std::uint64_t>(kMaxNpyHeader, bytes.size() - at - length_bytes);
  if (length > limit) {
    throw FileFormatError(file, at, fmt::format("a header of at most {} bytes", limit),
                          fmt::format("a header length of {}", length));
  }
  at += length_bytes;

  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + at,
                              static_cast<std::size_t>(length));
  HeaderReader reader(file, text, at);
  Header header = reader.read();
  TensorEntry tensor;
  tensor.dtype = check_descr(*header.descr, reader);
  tensor.shape = std::move(*header.shape);
  tensor.fortran_order = *header.fortran_order;
  tensor.offset = at + length;
  const std::optional<std::uint64_t> needed = checked_bytes(tensor.shape, size_of(tensor.dtype));
  if (!needed) {
    throw FileFormatError(file, at, "a shape whose size fits 63 bits", format_shape(tensor.shape));
  }
  tensor.bytes = *needed;
  if (total - tensor.offset != tensor.bytes) {
    throw FileFormatError(
        file, tensor.offset,
        fmt::format("{} bytes for {} {}", tensor.bytes, to_string(tensor.dtype), format_shape(tensor.shape)),
        std::to_string(total - tensor.offset));
  }
  return tensor;
}

}  // namespace millrace::tool
