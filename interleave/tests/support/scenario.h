// Programs that the checker must pass, and in how many executions.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "interleave/interleave.h"

namespace interleave::test {

/// Each function on a thread of its own, joined.
template <typename... Functions>
void parallel(Functions&&... functions) {
  thread threads[] = {thread(std::forward<Functions>(functions))...};
  for (thread& each : threads) each.join();
}

/// 720 executions.
inline void six_increments() {
  atomic<int> x{0};
  const auto add = [&] { x.fetch_add(1, memory_order_relaxed); };
  parallel(add, add, add, add, add, add);
}

/// The body passes, nothing is left out, and there are so many executions: no one missed, none met twice. The
/// first argument is a number, which oracle/test_scenarios.py reads here where it has the same program.
inline void expect_executions(std::uint64_t expected, const std::function<void()>& body,
                              Options options = {}) {
  options.duplicates = true;
  const Result result = check(options, body);
  EXPECT_TRUE(result.proved()) << summary(result) << '\n' << result.report;
  EXPECT_EQ(result.executions, expected) << summary(result);
}

/// For bodies with loops that go round as often as they like: passes, and nothing is left out.
inline void expect_proved(const std::function<void()>& body, Options options = {}) {
  options.duplicates = true;
  const Result result = check(options, body);
  EXPECT_TRUE(result.proved()) << summary(result) << '\n' << result.report;
  EXPECT_GT(result.executions, 0U);
}

}  // namespace interleave::test
