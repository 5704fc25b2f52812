// Which Millrace this is. The build reads the three numbers from here; they stand nowhere else.
#pragma once

#include <string_view>

#define MILLRACE_VERSION_MAJOR 0
#define MILLRACE_VERSION_MINOR 1
#define MILLRACE_VERSION_PATCH 0

#define MILLRACE_VERSION_TEXT_(number) #number
#define MILLRACE_VERSION_DOTTED_(major, minor, patch) \
  MILLRACE_VERSION_TEXT_(major) "." MILLRACE_VERSION_TEXT_(minor) "." MILLRACE_VERSION_TEXT_(patch)

namespace millrace {

/// The version of the headers, as "0.1.0".
inline constexpr std::string_view kVersion =
    MILLRACE_VERSION_DOTTED_(MILLRACE_VERSION_MAJOR, MILLRACE_VERSION_MINOR, MILLRACE_VERSION_PATCH);

}  // namespace millrace

#undef MILLRACE_VERSION_DOTTED_
#undef MILLRACE_VERSION_TEXT_
