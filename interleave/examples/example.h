// What the examples share: versions of something, each with what the checker must find in it.
#pragma once

#include <cstdio>
#include <cstring>
#include <functional>
#include <initializer_list>

#include "interleave/interleave.h"

namespace example {

struct Version {
  const char* name;
  interleave::Verdict expected;
  std::function<void()> body;
  interleave::Options options = {};
};

/// Checks every version, or the one that the command line names, and prints what was found: the report of a
/// failure, the counts of a proof. 0 if all is as expected.
inline int run(int argc, char** argv, std::initializer_list<Version> versions) {
  bool as_expected = true, known = argc < 2;
  for (const Version& version : versions) {
    if (argc >= 2 && std::strcmp(argv[1], version.name) != 0) continue;
    known = true;
    const interleave::Result result = interleave::check(version.options, version.body);
    if (result.passed()) {
      std::printf("%s: %s, %s, %llu executions\n", version.name, interleave::name(result.verdict),
                  interleave::name(result.coverage), static_cast<unsigned long long>(result.executions));
    } else {
      std::printf("%s: %s\n\n%s\n", version.name, interleave::name(result.verdict), result.report.c_str());
    }
    as_expected = as_expected && result.verdict == version.expected && (!result.passed() || result.proved());
  }
  if (known) return as_expected ? 0 : 1;
  std::fprintf(stderr, "usage: %s [VERSION], where VERSION is one of", argv[0]);
  for (const Version& version : versions) std::fprintf(stderr, " %s", version.name);
  std::fputc('\n', stderr);
  return 2;
}

/// Each function on a thread of its own, joined.
template <typename... Functions>
void parallel(Functions&&... functions) {
  interleave::thread threads[] = {interleave::thread(std::forward<Functions>(functions))...};
  for (interleave::thread& each : threads) each.join();
}

}  // namespace example
