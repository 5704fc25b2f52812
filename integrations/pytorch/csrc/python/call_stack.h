// Where in Python an operator was called.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace millrace_torch {

struct Code;

/// The innermost frames of the calling thread. Taking them costs a tenth of a microsecond, and the
/// interpreter's lock only where a function is seen for the first time; its text can be had on any thread,
/// without that lock.
class CallStack {
 public:
  static CallStack here();

  /// Lines as Python writes them, the outermost first; empty in threads that Python does not know.
  std::string text() const;
  /// The text, kept for ever.
  const char* kept_text() const;
  bool empty() const noexcept { return count_ == 0; }

 private:
  struct Frame {
    const Code* code;
    int instruction;
  };
  static constexpr std::size_t kMost = 12;
  std::array<Frame, kMost> frames_;
  std::size_t count_ = 0;
};

}  // namespace millrace_torch
