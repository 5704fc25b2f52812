// What is being measured, on a terminal, while there is nothing else to see.
#pragma once

#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "terminal.h"

namespace millrace::tool {

/// One line on standard error, drawn over itself, and gone when the object is. Silent off a terminal.
///
/// Thread safety: one thread at a time.
class StatusLine {
 public:
  StatusLine() = default;
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  ~StatusLine() { show(""); }

  void show(const std::string& text) {
    if (!visible_) return;
    fmt::print(stderr, "\r\033[K{}", text);
    std::fflush(stderr);
  }

 private:
  bool visible_ = is_terminal(stderr);
};

}  // namespace millrace::tool
