// Where --json goes: a file, or standard output for "-".
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

namespace millrace::tool {

/// Opened before the work, so that a path that can't be written fails before an hour of it.
///
/// Thread safety: one thread at a time.
class JsonOutput {
 public:
  /// Empty: nobody asked for JSON. Throws UsageError when the file can't be opened.
  explicit JsonOutput(const std::string& path);

  bool wanted() const noexcept { return to_stdout_ || file_ != nullptr; }
  /// The table would be mixed into the JSON.
  bool is_stdout() const noexcept { return to_stdout_; }

  /// Does nothing where it is not wanted. Names that are not UTF-8 are written with U+FFFD. Throws
  /// std::runtime_error when not all of it could be written.
  void write(const nlohmann::ordered_json& value);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  bool to_stdout_ = false;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace millrace::tool
