#include "verify/run_round.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "interrupt.h"
#include "verify/host.h"
#include "verify/report.h"
#include "verify/sha256.h"
#include "verify/sources.h"

namespace millrace::tool {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array<const char*, kAttempts> kTitles{"source and model", "mutants", "runtime"};
constexpr std::size_t kRuntime = 2;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Attempt not_run(const std::string& why) {
  Attempt attempt;
  attempt.conclusion = "not run: " + why;
  return attempt;
}

Attempt run_attempt(const RoundSetup& setup, const Round& round, std::size_t index) {
  if (!setup.wanted[index]) return not_run("it was not asked for");
  if (interrupted()) return not_run("the round was interrupted before it");
  if (index == kRuntime && round.is_stale()) {
    return not_run(
        fmt::format("the program is STALE: it was not built from these sources; build it by {}", kRebuild));
  }
  AttemptContext context{.root = setup.root,
                         .program = setup.program,
                         .sources = round.sources,
                         .workers = std::max(round.host.cores, 1U)};
  if (setup.doing) {
    context.doing = [&](const std::string& what) {
      setup.doing(fmt::format("attempt {}: {}", index + 1, what));
    };
  }
  Attempt attempt;
  try {
    attempt = setup.attempts[index](context);
    if (interrupted()) attempt.give_up("the round was interrupted");
    if (Sources(setup.root).digest() != round.sources) {
      attempt.give_up("the sources changed while it ran: what it says is of neither state");
    }
    if (index == kRuntime && sha256_of_file(setup.program) != round.binary.digest) {
      attempt.give_up("the program changed while it ran");
    }
  } catch (const std::exception& error) {
    attempt.give_up(error.what());
    attempt.conclusion = "it could not be carried out";
  }
  return attempt;
}

void write_down(Ledger& ledger, const Round& round) {
  const std::string json =
      report_json(round).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  write_whole(ledger.report_path(round.number, "txt"), report_text(round));
  write_whole(ledger.report_path(round.number, "json"), json);
  ledger.append(round, sha256(json));
}

}  // namespace

LedgerDamaged::LedgerDamaged(const Ledger& ledger, const std::vector<std::string>& damage)
    : std::runtime_error(
          fmt::format("{} is not what was written: {}. Restore it from version control, or begin another "
                      "with --ledger",
                      (ledger.folder() / "ledger.jsonl").string(), fmt::join(damage, "; "))) {}

Round run_round(const RoundSetup& setup) {
  const Claim claim(setup.ledger);
  Ledger ledger(setup.ledger);
  if (const std::vector<std::string> damage = ledger.damage(); !damage.empty())
    throw LedgerDamaged(ledger, damage);
  if (const std::optional<Round> killed = claim.cut_off(ledger)) ledger.append(*killed, "");

  const Clock::time_point begin = Clock::now();
  const Sources sources(setup.root);
  Round round;
  round.number = ledger.next_number();
  round.date = utc_now();
  round.sources = sources.digest();
  round.files = sources.files().size();
  round.revision = revision_of(setup.root);
  round.binary = setup.binary;
  round.host = this_host();
  claim.begin(round);
  for (std::size_t i = 0; i < round.attempts.size(); ++i) {
    const Clock::time_point start = Clock::now();
    Attempt attempt = run_attempt(setup, round, i);
    attempt.title = kTitles[i];
    attempt.seconds = seconds_since(start);
    round.attempts[i] = std::move(attempt);
  }
  round.interrupted = interrupted();
  round.seconds = seconds_since(begin);
  write_down(ledger, round);
  claim.end();
  return round;
}

}  // namespace millrace::tool
