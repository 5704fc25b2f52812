#include "table.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "terminal.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kNarrowest = 16;  // a first column is not cut below this
constexpr const char* kRed = "\033[31m";
constexpr const char* kPlain = "\033[0m";

bool starts_code_point(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

/// The byte at which the code point of this number starts; size() past the last one.
std::size_t byte_of(const std::string& text, std::size_t code_point) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (starts_code_point(text[i]) && seen++ == code_point) return i;
  }
  return text.size();
}

}  // namespace

std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, starts_code_point));
}

std::string shorten(const std::string& text, std::size_t width) {
  const std::size_t length = display_width(text);
  if (length <= width) return text;
  if (width <= 3) return text.substr(0, byte_of(text, width));
  // The end of a tensor's name tells it from its neighbours; keep more of it.
  const std::size_t head = (width - 3) / 3;
  const std::size_t tail = width - 3 - head;
  return text.substr(0, byte_of(text, head)) + "..." + text.substr(byte_of(text, length - tail));
}

void Table::add(std::vector<std::string> cells) {
  rows_.push_back(std::move(cells));
}

std::string Table::render(int width, bool colour) const {
  std::vector<std::size_t> widths;
  std::size_t total = 0;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t widest = display_width(columns_[c].title);
    for (const auto& row : rows_) widest = std::max(widest, display_width(row[c]));
    widths.push_back(widest);
    total += widest + (c == 0 ? 0 : kGap);
  }
  if (width > 0 && total > static_cast<std::size_t>(width)) {
    const std::size_t excess = total - static_cast<std::size_t>(width);
    widths[0] = std::max(std::min(widths[0], kNarrowest), widths[0] > excess ? widths[0] - excess : 0);
  }

  std::string out;
  const auto append = [&](std::size_t c, const std::string& full, bool red) {
    const std::string text = c == 0 ? shorten(full, widths[0]) : full;
    const std::string padding(widths[c] - display_width(text), ' ');
    if (c > 0) out.append(kGap, ' ');
    if (columns_[c].align == Align::right) out += padding;
    out += red && !text.empty() ? kRed + text + kPlain : text;
    if (columns_[c].align == Align::left) out += padding;
  };
  const auto end_line = [&] {
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
  };
  for (std::size_t c = 0; c < columns_.size(); ++c) append(c, columns_[c].title, false);
  end_line();
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < columns_.size(); ++c) append(c, row[c], colour && columns_[c].warning);
    end_line();
  }
  return out;
}

void Table::print(std::FILE* stream) const {
  fmt::print(stream, "{}", render(terminal_width(stream), wants_colour(stream)));
}

}  // namespace millrace::tool
