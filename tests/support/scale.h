// How much a test does: fewer operations under sanitizers, more when everything is to be run.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <string_view>

namespace millrace::test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kAddressSanitized = true;
#else
inline constexpr bool kAddressSanitized = false;
#endif
#else
inline constexpr bool kAddressSanitized = false;
#endif

/// MILLRACE_TEST_FULL=1: no limit on the time.
inline bool full_run() {
  const char* value = std::getenv("MILLRACE_TEST_FULL");
  return value != nullptr && std::string_view(value) == "1";
}

/// ordinary, or a part of it under sanitizers, or a multiple of either in a full run.
inline std::size_t scaled(std::size_t ordinary, std::size_t sanitizer_part = 20, std::size_t full_times = 4) {
  std::size_t count = kSanitized ? ordinary / sanitizer_part : ordinary;
  if (full_run()) count *= full_times;
  return count == 0 ? 1 : count;
}

}  // namespace millrace::test
