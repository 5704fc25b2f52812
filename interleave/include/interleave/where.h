// The line of the code under test that an operation stands in.
#pragma once

namespace interleave {

/// A place in a source file; the default argument of every operation, so that reports can name the caller's.
struct Where {
  const char* file = "";
  unsigned line = 0;

  static constexpr Where current(const char* file = __builtin_FILE(),
                                 unsigned line = __builtin_LINE()) noexcept {
    return {file, line};
  }
};

}  // namespace interleave
