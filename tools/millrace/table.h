// Tables for people: aligned columns, cut to the terminal where there is one.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace millrace::tool {

enum class Align { left, right };

/// Rows of text, one width a column. The first column gives way when the terminal is too narrow.
///
/// Thread safety: one thread at a time.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::left;
    bool warning = false;  ///< its cells are shown in red where there is colour
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// As many cells as columns; each must be printable.
  void add(std::vector<std::string> cells);
  std::size_t rows() const noexcept { return rows_.size(); }

  /// width: columns of the terminal, or 0 for as wide as it takes.
  std::string render(int width, bool colour) const;
  void print(std::FILE* stream) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Text of at most width columns, "..." in the middle where something was left out.
std::string shorten(const std::string& text, std::size_t width);

/// Columns that text takes on a terminal, a code point each.
std::size_t display_width(const std::string& text);

}  // namespace millrace::tool
