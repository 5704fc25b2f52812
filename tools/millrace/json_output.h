// JSON as text, and where --json puts it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "output_file.h"

namespace millrace::tool {

/// One line. Names that are not UTF-8 are written with U+FFFD, numbers that JSON has not as null, all others
/// with the digits that give back their bits.
std::string json_text(const nlohmann::ordered_json& value);

/// A whole document in one go.
///
/// Thread safety: one thread at a time.
class JsonOutput {
 public:
  /// As OutputFile, for the option --json.
  explicit JsonOutput(const std::string& path) : file_("--json", path) {}

  bool wanted() const noexcept { return file_.wanted(); }
  bool is_stdout() const noexcept { return file_.is_stdout(); }

  /// Does nothing where it is not wanted. Throws std::runtime_error when not all of it could be written.
  void write(const nlohmann::ordered_json& value);

 private:
  OutputFile file_;
};

}  // namespace millrace::tool
