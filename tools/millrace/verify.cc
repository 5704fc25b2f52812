// millrace verify: a verification round of the sources and of this program, and how the rounds stand.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "command.h"
#include "interrupt.h"
#include "json_output.h"
#include "terminal.h"
#include "usage_error.h"
#include "verify/host.h"
#include "verify/ledger.h"
#include "verify/report.h"
#include "verify/run_round.h"
#include "verify/sources.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;

struct VerifyRequest {
  std::vector<int> attempts{1, 2, 3};
  std::string ledger, source, json;
  bool status = false;
};

/// One line on a terminal, drawn over itself; silent anywhere else.
class Doing {
 public:
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;
  Doing() = default;
  ~Doing() {
    if (visible_) fmt::print(stderr, "\r\033[K");
  }
  void show(const std::string& what) const {
    if (!visible_) return;
    const int width = terminal_width(stderr);
    fmt::print(stderr, "\r\033[K{}", width > 1 ? what.substr(0, static_cast<std::size_t>(width) - 1) : what);
    std::fflush(stderr);
  }

 private:
  const bool visible_ = is_terminal(stderr);
};

fs::path source_root(const VerifyRequest& request) {
  if (request.source.empty()) return find_source_root();
  if (!fs::exists(fs::path(request.source) / kSourceList)) {
    throw UsageError(fmt::format("--source: {} has no {}", request.source, kSourceList));
  }
  return fs::canonical(request.source);
}

fs::path ledger_folder(const VerifyRequest& request, const fs::path& root) {
  return request.ledger.empty() ? root / "verify/ledger" : fs::absolute(request.ledger);
}

int show_status(const VerifyRequest& request) {
  JsonOutput json(request.json);
  const fs::path root = source_root(request);
  const fs::path folder = ledger_folder(request, root);
  const Sources sources(root);
  const std::string digest = sources.digest();
  const Ledger ledger(folder);
  const std::vector<std::string> damage = ledger.damage();
  const Standing standing = standing_of(ledger, digest);
  const bool stale = built_from() != digest;
  if (!json.is_stdout()) {
    fmt::print("sources   {} ({} files)\n", digest, sources.files().size());
    fmt::print("program   {}\n",
               stale ? fmt::format("STALE: not built from these sources; {} builds it", kRebuild)
                     : "built from these sources");
    fmt::print("ledger    {} rounds in {}\n", ledger.size(), folder.string());
    if (standing.in_progress) fmt::print("          one more is in progress\n");
    if (standing.cut_off) fmt::print("          one more was cut off before its end: INCOMPLETE\n");
    fmt::print("streaks   {} clean of source and model, {} clean and complete\n", standing.streaks.source,
               standing.streaks.complete);
    fmt::print("rule      {} clean complete rounds in a row: {}\n", kRuleRounds,
               damage.empty() && standing.streaks.rule_is_met() ? "met" : "not met");
  }
  json.write({{"sources", digest},
              {"built_from", built_from()},
              {"stale", stale},
              {"rounds", ledger.size()},
              {"in_progress", standing.in_progress},
              {"cut_off", standing.cut_off},
              {"source_streak", standing.streaks.source},
              {"complete_streak", standing.streaks.complete},
              {"rule_met", damage.empty() && standing.streaks.rule_is_met()},
              {"damage", damage}});
  if (damage.empty()) return kDone;
  spdlog::error("{}", LedgerDamaged(ledger, damage).what());
  return kBadInput;
}

int exit_code_of(const Round& round, const RoundSetup& setup) {
  if (round.interrupted) return kInterrupted;
  for (std::size_t i = 0; i < round.attempts.size(); ++i) {
    if (setup.wanted[i] && round.attempts[i].outcome != Outcome::clean) return kFoundErrors;
  }
  return kDone;
}

int verify(const VerifyRequest& request) {
  catch_interrupts();
  JsonOutput json(request.json);
  RoundSetup setup;
  setup.root = source_root(request);
  setup.ledger = ledger_folder(request, setup.root);
  setup.program = fs::read_symlink("/proc/self/exe");
  setup.binary = this_binary();
  for (int i = 0; i < kAttempts; ++i) {
    setup.wanted[static_cast<std::size_t>(i)] = std::ranges::count(request.attempts, i + 1) > 0;
  }
  Round round;
  {
    const Doing doing;
    setup.doing = [&](const std::string& what) { doing.show(what); };
    try {
      round = run_round(setup);
    } catch (const LedgerDamaged& damaged) {
      spdlog::error("{}", damaged.what());
      return kBadInput;
    }
  }
  if (!json.is_stdout()) fmt::print("{}", report_text(round));
  json.write(report_json(round));
  return exit_code_of(round, setup);
}

}  // namespace

Command verify_command(CLI::App& parent) {
  CLI::App* const app =
      parent.add_subcommand("verify", "A verification round of the sources and of this program");
  const auto request = std::make_shared<VerifyRequest>();
  app->add_option("--attempts", request->attempts, "Of 1 source and model, 2 mutants, 3 runtime, as in 1,2")
      ->delimiter(',')
      ->check(CLI::Range(1, kAttempts))
      ->default_str("1,2,3");
  app->add_option("--ledger", request->ledger,
                  "The folder of the rounds (default: verify/ledger of the sources)");
  app->add_option("--source", request->source,
                  "The sources (default: found from here or from the program upwards)");
  app->add_option("--json", request->json, "Write JSON to a file, or to standard output for -");
  app->add_flag("--status", request->status,
                "How many rounds of these sources in a row were clean; runs none");
  return {app, [request] { return request->status ? show_status(*request) : verify(*request); }};
}

}  // namespace millrace::tool
