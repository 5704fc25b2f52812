// Programs that the checker must report, by kind and line.
//
// The line that the report of TEST(Wrong, Name) has to name ends in the comment `// <-- Name`; several names
// are separated by commas. Of a race both accesses are so marked, of a stuck run every wait that it is stuck
// in.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>

#include "interleave/interleave.h"
#include "support/scenario.h"

namespace interleave::test {

/// The line's text; empty when there is none. The compiler may have been told any path that ends as the
/// file's.
inline std::string source_line(const Where& where) {
  const std::string path = where.file;
  const std::size_t tests = path.rfind("tests/");
  std::ifstream file(tests == std::string::npos ? path : INTERLEAVE_SOURCE_DIR "/" + path.substr(tests));
  std::string line;
  for (unsigned number = 0; number < where.line; ++number) {
    if (!std::getline(file, line)) return {};
  }
  return where.line == 0 ? std::string() : line;
}

inline bool marked(const Where& where, const std::string& name) {
  const std::string line = source_line(where);
  std::size_t at = line.find("// <-- ");
  if (at == std::string::npos) return false;
  std::string names = line.substr(at + 7);
  for (std::size_t comma; (comma = names.find(", ")) != std::string::npos; names.erase(0, comma + 2)) {
    if (names.substr(0, comma) == name) return true;
  }
  return names == name;
}

/// The body fails so, at a line marked with the running test's name, and again when it is replayed.
inline void expect_wrong(Verdict expected, const std::function<void()>& body, Options options = {}) {
  const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  const Result result = check(options, body);
  ASSERT_EQ(result.verdict, expected) << summary(result) << '\n' << result.report;
  EXPECT_TRUE(marked(result.where, name))
      << "reported at " << result.where.file << ':' << result.where.line << '\n'
      << result.report;
  if (expected == Verdict::race) {
    EXPECT_TRUE(marked(result.other, name))
        << "the other access at " << result.other.file << ':' << result.other.line << '\n'
        << result.report;
  }
  EXPECT_FALSE(result.message.empty());
  EXPECT_FALSE(result.report.empty());

  ASSERT_FALSE(result.replay.empty());
  options.replay = result.replay;
  const Result again = check(options, body);
  EXPECT_EQ(again.verdict, expected) << summary(again);
  EXPECT_EQ(again.where.line, result.where.line) << again.report;
}

}  // namespace interleave::test
