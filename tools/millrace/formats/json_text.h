// What the readers of JSON share: how far the parser has come, and what it says of text that is no JSON.
#pragma once

#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

#include "formats/file_format_error.h"

namespace millrace::tool {

/// Reads a string_view and tells how far the parser has come, which its events do not.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

/// What the parser complains of, fit for one line. "[json.exception.parse_error.101] parse error at line
/// 1, column 2: syntax error while ...": the place is left out, since ours are bytes of the file.
inline std::string json_complaint(std::string_view what) {
  if (const std::size_t colon = what.find(": "); colon != std::string_view::npos) {
    what.remove_prefix(colon + 2);
  }
  return printable(what);
}

}  // namespace millrace::tool
