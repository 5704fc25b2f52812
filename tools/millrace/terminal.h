// What standard output and standard error are attached to.
#pragma once

#include <cstdio>

namespace millrace::tool {

bool is_terminal(std::FILE* stream) noexcept;

/// Columns of the terminal; 0 where there is none, so nothing needs to be cut.
int terminal_width(std::FILE* stream) noexcept;

/// On a terminal, unless NO_COLOR is set (https://no-color.org).
bool wants_colour(std::FILE* stream) noexcept;

}  // namespace millrace::tool
