// Where an option like --json or --csv puts its text: a file, or standard output for "-".
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace millrace::tool {

/// Opened before the work, so that a path that can't be written fails before an hour of it. What the file
/// held stays until begin(): the work may end early, or read it.
///
/// Thread safety: one thread at a time.
class OutputFile {
 public:
  /// option: for errors, as "--json". path: empty if nobody asked for it. Throws UsageError when the file
  /// can't be opened.
  OutputFile(std::string option, const std::string& path);

  bool wanted() const noexcept { return to_stdout_ || file_ != nullptr; }
  /// A table would be mixed into it.
  bool is_stdout() const noexcept { return to_stdout_; }
  /// Text from a file must not act on it.
  bool is_terminal() const noexcept;

  /// Empties the file. Then write as often as there is something, then end. All three do nothing where the
  /// output is not wanted, and throw std::runtime_error when not all of it could be written.
  void begin();
  void write(std::string_view text);
  void end();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::FILE* out() const noexcept { return to_stdout_ ? stdout : file_.get(); }
  [[noreturn]] void fail() const;

  std::string option_;
  std::string path_;
  bool to_stdout_ = false;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace millrace::tool
