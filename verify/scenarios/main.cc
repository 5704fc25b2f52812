// verify_scenarios: runs scenarios, a line each.
//
//   verify_scenarios [--list] [--json] [--workers N] [--quick] [--invariant I]... [PREFIX...]
//   verify_scenarios [--json] --replay NAME STRING
//
// Chosen are the scenarios whose name begins with one of the prefixes and that name one of the invariants;
// with
// --quick, those only that are not slow. --workers: processes that share the work of a scenario. --json: an
// object a line. --replay: the one execution that STRING names, of the report of a failure.
//
// Exit status: 0 if each scenario showed what it is expected to (an execution replayed: passed), 1 if one did
// not, 2 if there is none of a name.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "scenario.h"

namespace millrace::verify {
namespace {

struct Request {
  bool list = false, json = false, quick = false;
  unsigned workers = 1;
  std::vector<std::string> invariants, prefixes;
  std::string replay;  ///< empty: explores
};

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

bool is_chosen(const Scenario& scenario, const Request& request) {
  if (!request.replay.empty()) return scenario.name == request.prefixes.front();
  if (request.quick && scenario.speed == Speed::slow) return false;
  const auto begins_name = [&](const std::string& prefix) { return scenario.name.starts_with(prefix); };
  if (!request.prefixes.empty() && std::ranges::none_of(request.prefixes, begins_name)) return false;
  const std::vector<std::string> invariants = words_of(scenario.invariants);
  return request.invariants.empty() ||
         std::ranges::find_first_of(invariants, request.invariants) != invariants.end();
}

nlohmann::ordered_json json_of(const Scenario& scenario) {
  return {{"name", scenario.name},
          {"invariants", words_of(scenario.invariants)},
          {"expected", scenario.expectation.text()},
          {"quick", scenario.speed == Speed::quick}};
}

void print(const nlohmann::ordered_json& object) {
  std::printf("%s\n", object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

void list(const Scenario& scenario, bool json) {
  if (json) {
    print(json_of(scenario));
  } else {
    std::printf("%-46s %-14s %s\n", scenario.name.c_str(), scenario.invariants.c_str(),
                scenario.expectation.text().c_str());
  }
}

/// Whether it showed what it is expected to, or the execution replayed passed.
bool run(const Scenario& scenario, const Request& request) {
  interleave::Options options = scenario.options;
  options.workers = request.workers;
  options.replay = request.replay;
  const interleave::Result result = interleave::check(options, scenario.body);
  const bool met = request.replay.empty() ? scenario.expectation.met_by(result) : result.passed();
  if (request.json) {
    nlohmann::ordered_json object = json_of(scenario);
    object.update({{"met", met},
                   {"verdict", interleave::name(result.verdict)},
                   {"coverage", interleave::name(result.coverage)},
                   {"executions", result.executions},
                   {"blocked", result.blocked},
                   {"bounded", result.bounded},
                   {"seconds", result.seconds},
                   {"message", result.message},
                   {"report", result.report},
                   {"replay", result.replay}});
    print(object);
  } else {
    std::printf("%-46s %-14s %s%s\n", scenario.name.c_str(), scenario.invariants.c_str(),
                interleave::summary(result).c_str(), met && !result.passed() ? ", as expected" : "");
    if (!met && request.replay.empty()) {
      std::printf("expected: %s\n", scenario.expectation.text().c_str());
    }
    if (!met || !request.replay.empty()) std::printf("%s\n", result.report.c_str());
    if (!met && !result.replay.empty() && request.replay.empty()) {
      std::printf("to repeat: verify_scenarios --replay %s '%s'\n", scenario.name.c_str(),
                  result.replay.c_str());
    }
  }
  std::fflush(stdout);
  return met;
}

int run_all(const Request& request) {
  std::vector<Scenario> chosen;
  std::ranges::copy_if(scenarios(), std::back_inserter(chosen),
                       [&](const Scenario& scenario) { return is_chosen(scenario, request); });
  std::ranges::sort(chosen, {}, &Scenario::name);
  if (chosen.empty()) {
    std::fprintf(stderr, "verify_scenarios: no scenario has such a name or invariant; --list shows them\n");
    return 2;
  }
  bool met = true;
  for (const Scenario& scenario : chosen) {
    if (request.list) {
      list(scenario, request.json);
    } else {
      met = run(scenario, request) && met;
    }
  }
  return met ? 0 : 1;
}

/// False where the arguments are not as above.
bool parse(const std::vector<std::string>& arguments, Request& request) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const std::size_t left = arguments.size() - i - 1;
    if (argument == "--list") {
      request.list = true;
    } else if (argument == "--json") {
      request.json = true;
    } else if (argument == "--quick") {
      request.quick = true;
    } else if (argument == "--workers" && left >= 1) {
      const long count = std::strtol(arguments[++i].c_str(), nullptr, 10);
      if (count < 1 || count > 256) return false;
      request.workers = static_cast<unsigned>(count);
    } else if (argument == "--invariant" && left >= 1) {
      request.invariants.push_back(arguments[++i]);
    } else if (argument == "--replay" && left >= 2 && !arguments[i + 2].empty()) {
      request.prefixes = {arguments[++i]};
      request.replay = arguments[++i];
    } else if (argument.starts_with("-")) {
      return false;
    } else {
      request.prefixes.push_back(argument);
    }
  }
  return true;
}

}  // namespace
}  // namespace millrace::verify

int main(int argc, char** argv) {
  millrace::verify::Request request;
  if (!millrace::verify::parse({argv + 1, argv + argc}, request)) {
    std::fprintf(
        stderr,
        "usage: verify_scenarios [--list] [--json] [--workers N] [--quick] [--invariant I]... [PREFIX...]\n"
        "       verify_scenarios [--json] --replay NAME STRING\n");
    return 2;
  }
  try {
    return millrace::verify::run_all(request);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "verify_scenarios: %s\n", error.what());
    return 2;
  }
}
