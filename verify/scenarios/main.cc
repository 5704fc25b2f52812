// verify_scenarios: runs scenarios, a line each.
//
//   verify_scenarios [--list] [PREFIX...]
//
// Exit status: 0 if all were proved, 1 if one failed or was not explored as a whole, 2 if there is none of a name.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "scenario.h"

namespace millrace::verify {

std::vector<Scenario>& scenarios() {
  static std::vector<Scenario> all;
  return all;
}

namespace {

bool run(const Scenario& scenario) {
  const interleave::Result result = interleave::check(scenario.options, scenario.body);
  std::printf("%-40s %-14s %s\n", scenario.name.c_str(), scenario.invariants.c_str(),
              interleave::summary(result).c_str());
  if (!result.passed()) std::printf("%s\n", result.report.c_str());
  std::fflush(stdout);
  return result.proved();
}

bool is_named(const Scenario& scenario, const std::vector<std::string>& prefixes) {
  return prefixes.empty() || std::ranges::any_of(prefixes, [&](const std::string& prefix) {
           return scenario.name.starts_with(prefix);
         });
}

int run_all(bool list, const std::vector<std::string>& prefixes) {
  std::vector<Scenario> chosen;
  std::ranges::copy_if(scenarios(), std::back_inserter(chosen),
                       [&](const Scenario& scenario) { return is_named(scenario, prefixes); });
  std::ranges::sort(chosen, {}, &Scenario::name);
  if (chosen.empty()) {
    std::fprintf(stderr, "verify_scenarios: no scenario has such a name; --list shows them\n");
    return 2;
  }
  bool passed = true;
  for (const Scenario& scenario : chosen) {
    if (list) {
      std::printf("%-40s %s\n", scenario.name.c_str(), scenario.invariants.c_str());
    } else {
      passed = run(scenario) && passed;
    }
  }
  return passed ? 0 : 1;
}

}  // namespace
}  // namespace millrace::verify

int main(int argc, char** argv) {
  bool list = false;
  std::vector<std::string> prefixes;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--list") == 0) {
      list = true;
    } else {
      prefixes.emplace_back(argv[i]);
    }
  }
  return millrace::verify::run_all(list, prefixes);
}
