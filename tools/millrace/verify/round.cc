#include "verify/round.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include <fmt/chrono.h>

namespace millrace::tool {

const char* name(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::clean: return "clean";
    case Outcome::failed: return "failed";
    case Outcome::incomplete: return "incomplete";
    case Outcome::not_run: break;
  }
  return "not run";
}

void Attempt::fail(Finding finding) {
  outcome = Outcome::failed;
  findings.push_back(std::move(finding));
}

void Attempt::give_up(const std::string& why) {
  if (outcome != Outcome::failed) outcome = Outcome::incomplete;
  outputs.push_back(why);
}

std::string Round::result() const {
  const auto any = [&](Outcome outcome) {
    return std::ranges::count(attempts, outcome, &Attempt::outcome) > 0;
  };
  if (any(Outcome::failed)) return "FAILED";
  const bool whole = std::ranges::count(attempts, Outcome::clean, &Attempt::outcome) == kAttempts;
  return whole && !interrupted && !is_stale() ? "CLEAN" : "INCOMPLETE";
}

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace millrace::tool
