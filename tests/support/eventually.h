// Waiting, with a limit, for something that another thread brings about and nothing announces.
#pragma once

#include <chrono>
#include <thread>

namespace millrace::test {

/// More than anything in a test should take; reached only by a failure.
inline constexpr std::chrono::seconds kLimit{60};

/// Has the condition come true within the limit?
template <typename Condition>
[[nodiscard]] bool eventually(Condition&& condition, std::chrono::milliseconds limit = kLimit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return condition();
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

/// Does the condition stay true for as long as it is worth waiting to see otherwise? A slow machine can
/// only make this miss a failure.
template <typename Condition>
[[nodiscard]] bool remains(Condition&& condition,
                           std::chrono::milliseconds time = std::chrono::milliseconds(30)) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < deadline) {
    if (!condition()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return condition();
}

}  // namespace millrace::test
