// verify_scenarios: runs scenarios, a line each.
//
//   verify_scenarios [--list] [--json] [--workers N] [--quick] [--invariant I]... [--results FILE]
//                    [--sites FILE] [--max-events N] [PREFIX...]
//   verify_scenarios [--json] --replay NAME STRING
//
// Chosen are the scenarios whose name begins with one of the prefixes and that name one of the invariants;
// with
// --quick, those only that are not slow. --workers: processes that share the work; those of one scenario,
// where all of it is explored, and else a scenario each, told as they end. --json: an object a line.
// --results: writes to the file what --json prints, too. --sites: writes to the file an object for each line
// of the sources on which an operation of the checker's was called: the most threads that came by in one
// scenario, and the name of such a one. --replay: the one execution that STRING names, of the report of a
// failure.
//
// --max-events: runs are cut off after so many operations, whatever the scenario says.
//
// Exit status: 0 if each scenario showed what it is expected to (an execution replayed: passed), 1 if one did
// not, 2 if there is none of a name.
#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "in_processes.h"
#include "scenario.h"

namespace millrace::verify {
namespace {

struct Request {
  bool list = false, json = false, quick = false;
  unsigned workers = 1;
  unsigned max_events = 0;  ///< 0: the scenario's own
  std::vector<std::string> invariants, prefixes;
  std::string results, sites;  ///< files; empty: none
  std::string replay;          ///< empty: explores
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

std::string text_of(const nlohmann::ordered_json& object) {
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void print(const nlohmann::ordered_json& object) {
  std::printf("%s\n", text_of(object).c_str());
}

void list(const Scenario& scenario, bool json) {
  if (json) {
    print(json_of(scenario));
  } else {
    std::printf("%-46s %-14s %s\n", scenario.name.c_str(), scenario.invariants.c_str(),
                scenario.expectation.text().c_str());
  }
}

/// The project's folder, as the compiler was given the names of its files.
std::string_view root() {
  const std::string_view here = interleave::Where::current().file;
  return here.substr(0, here.size() - std::string_view("verify/scenarios/main.cc").size());
}

/// For each line, the scenario in which most threads came by.
///
/// Thread safety: one thread.
class SitesSeen {
 public:
  /// As sites_of has them.
  void add(const std::string& scenario, const nlohmann::ordered_json& sites) {
    for (const auto& site : sites) {
      Most& most = lines_[{site.at(0), site.at(1)}];
      if (const int threads = site.at(2); threads > most.threads) most = {threads, scenario};
    }
  }
  void write(std::ostream& out) const {
    for (const auto& [place, most] : lines_) {
      out << nlohmann::ordered_json{{"file", place.first},
                                    {"line", place.second},
                                    {"threads", most.threads},
                                    {"scenario", most.scenario}}
          << '\n';
    }
  }

 private:
  struct Most {
    int threads = 0;
    std::string scenario;
  };
  std::map<std::pair<std::string, unsigned>, Most> lines_;
};

/// A file of the project's, a line and the number of threads that came by, each.
nlohmann::ordered_json sites_of(const interleave::Result& result) {
  nlohmann::ordered_json sites = nlohmann::ordered_json::array();
  for (const interleave::Site& site : result.sites) {
    std::string_view file = site.where.file;
    if (file.starts_with(root())) file.remove_prefix(root().size());
    sites.push_back({file, site.where.line, std::popcount(site.threads)});
  }
  return sites;
}

/// Throws if it can't be written.
std::ofstream opened(const std::string& file) {
  std::ofstream out(file);
  if (!out) throw std::runtime_error("can't write " + file);
  out.exceptions(std::ios::failbit | std::ios::badbit);
  return out;
}

nlohmann::ordered_json json_of(const Scenario& scenario, const interleave::Result& result, bool met) {
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
  return object;
}

/// What a scenario has shown, as one process tells it another.
nlohmann::ordered_json explore(const Scenario& scenario, const Request& request, unsigned workers) {
  interleave::Options options = scenario.options;
  options.workers = workers;
  options.replay = request.replay;
  if (request.max_events != 0) options.max_events = request.max_events;
  options.sites = !request.sites.empty();
  const interleave::Result result = interleave::check(options, scenario.body);
  const bool met = request.replay.empty() ? scenario.expectation.met_by(result) : result.passed();
  return {{"object", json_of(scenario, result, met)},
          {"summary", interleave::summary(result)},
          {"passed", result.passed()},
          {"notes", result.notes},
          {"sites", sites_of(result)}};
}

/// Prints what a scenario has shown; whether that is what it is expected to, or the execution replayed
/// passed.
bool tell(const Scenario& scenario, const nlohmann::ordered_json& shown, const Request& request,
          std::ostream* results, SitesSeen& sites) {
  const nlohmann::ordered_json& object = shown.at("object");
  const bool met = object.at("met"), passed = shown.at("passed");
  const std::string summary = shown.at("summary"), report = object.at("report"), replay = object.at("replay");
  sites.add(scenario.name, shown.at("sites"));
  for (const std::string note : shown.at("notes"))
    std::fprintf(stderr, "%s: %s\n", scenario.name.c_str(), note.c_str());
  if (results != nullptr) *results << text_of(object) << std::endl;
  if (request.json) {
    print(object);
  } else {
    std::printf("%-46s %-14s %s%s\n", scenario.name.c_str(), scenario.invariants.c_str(), summary.c_str(),
                met && !passed ? ", as expected" : "");
    if (!met && request.replay.empty()) {
      std::printf("expected: %s\n", scenario.expectation.text().c_str());
    }
    if (!met || !request.replay.empty()) std::printf("%s\n", report.c_str());
    if (!met && !replay.empty() && request.replay.empty()) {
      std::printf("to repeat: verify_scenarios --replay %s '%s'\n", scenario.name.c_str(), replay.c_str());
    }
  }
  std::fflush(stdout);
  return met;
}

/// Can several processes share the work? See interleave::Options::workers.
bool is_shared(const Scenario& scenario) {
  const interleave::Options& options = scenario.options;
  return options.samples == 0 && options.max_preemptions < 0 && !options.duplicates &&
         !options.load_buffering_lint;
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
  if (const auto twice = std::ranges::adjacent_find(chosen, {}, &Scenario::name); twice != chosen.end()) {
    std::fprintf(stderr, "verify_scenarios: two scenarios are called %s; give one of them another name\n",
                 twice->name.c_str());
    return 2;
  }
  if (request.list) {
    for (const Scenario& scenario : chosen) list(scenario, request.json);
    return 0;
  }
  std::optional<std::ofstream> results, sites;
  if (!request.results.empty()) results = opened(request.results);
  if (!request.sites.empty()) sites = opened(request.sites);
  SitesSeen seen;
  bool met = true;
  const auto told = [&](const Scenario& scenario, const nlohmann::ordered_json& shown) {
    met = tell(scenario, shown, request, results ? &*results : nullptr, seen) && met;
  };
  const bool several = request.workers > 1 && request.replay.empty();
  const auto shared =
      several ? std::stable_partition(chosen.begin(), chosen.end(), std::not_fn(is_shared)) : chosen.begin();
  in_processes(
      static_cast<std::size_t>(shared - chosen.begin()), request.workers,
      [&](std::size_t i) { return text_of(explore(chosen[i], request, 1)); },
      [&](std::size_t i, const std::string& returned, const std::string& ended) {
        if (!ended.empty()) throw std::runtime_error(chosen[i].name + ": " + ended);
        told(chosen[i], nlohmann::ordered_json::parse(returned));
      });
  std::for_each(shared, chosen.end(), [&](const Scenario& scenario) {
    told(scenario, explore(scenario, request, request.workers));
  });
  if (sites) seen.write(*sites);
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
    } else if (argument == "--max-events" && left >= 1) {
      const long count = std::strtol(arguments[++i].c_str(), nullptr, 10);
      if (count < 1 || count > 2048) return false;
      request.max_events = static_cast<unsigned>(count);
    } else if (argument == "--invariant" && left >= 1) {
      request.invariants.push_back(arguments[++i]);
    } else if (argument == "--results" && left >= 1) {
      request.results = arguments[++i];
    } else if (argument == "--sites" && left >= 1) {
      request.sites = arguments[++i];
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
    std::fprintf(stderr,
                 "usage: verify_scenarios [--list] [--json] [--workers N] [--quick] [--invariant I]... "
                 "[--results FILE]\n"
                 "                        [--sites FILE] [--max-events N] [PREFIX...]\n"
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
