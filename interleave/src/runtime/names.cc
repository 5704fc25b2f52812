// Names of what is found.
#include <cstdio>

#include "interleave/check.h"

namespace interleave {

const char* name(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::pass: return "pass";
    case Verdict::assertion: return "assertion";
    case Verdict::exception: return "exception";
    case Verdict::race: return "race";
    case Verdict::use_after_free: return "use after free";
    case Verdict::double_free: return "double free";
    case Verdict::leak: return "leak";
    case Verdict::deadlock: return "deadlock";
    case Verdict::livelock: return "livelock";
    case Verdict::lost_wakeup: return "lost wake-up";
    case Verdict::crash: return "crash";
    case Verdict::misuse: return "misuse";
    case Verdict::nondeterministic: return "non-deterministic test";
    case Verdict::limit: return "limit";
  }
  return "unknown";
}

const char* name(Coverage coverage) noexcept {
  switch (coverage) {
    case Coverage::complete: return "complete";
    case Coverage::bounded: return "bounded";
    case Coverage::sampled: return "sampled";
  }
  return "unknown";
}

std::string summary(const Result& result) {
  char numbers[160];
  std::snprintf(numbers, sizeof(numbers), " executions=%llu blocked=%llu bounded=%llu seconds=%.3f",
                static_cast<unsigned long long>(result.executions),
                static_cast<unsigned long long>(result.blocked),
                static_cast<unsigned long long>(result.bounded), result.seconds);
  if (result.passed()) {
    return std::string("PASS ") + name(result.coverage) + numbers +
           (result.executions == 0 ? ": nothing was checked, every run was left" : "");
  }
  return std::string("FAIL ") + name(result.verdict) + ": " + result.message + numbers;
}

}  // namespace interleave
