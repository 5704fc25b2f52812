#include "csv.h"

#include <fmt/format.h>

#include "formats/file_format_error.h"

namespace millrace::tool {

std::string csv_line(const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += ',';
    if (cells[i].find_first_of(",\"\r\n") == std::string::npos) {
      line += cells[i];
      continue;
    }
    line += '"';
    for (const char c : cells[i]) {
      if (c == '"') line += '"';
      line += c;
    }
    line += '"';
  }
  return line + "\r\n";
}

std::string csv_name(const OutputFile& out, const std::string& name) {
  return out.is_terminal() ? printable(name, name.size()) : name;
}

std::string csv_number(double value) {
  return fmt::format("{:.17g}", value);
}

}  // namespace millrace::tool
