// The ledger: what was done to it shows, and what its streaks are.
#include "verify/ledger.h"

#include <functional>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "verify/report.h"
#include "verify/sha256.h"
#include "verify_support.h"

namespace millrace::tool {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LedgerTest : public ::testing::Test {
 protected:
  void add(const Round& round) { Ledger(folder()).append(round, ""); }
  void add_clean(int count, const std::string& sources = "a") {
    for (int i = 0; i < count; ++i) add(clean_round(Ledger(folder()).next_number(), sources));
  }
  Round next(const std::string& sources = "a") {
    return clean_round(Ledger(folder()).next_number(), sources);
  }
  Streaks streaks(const std::string& sources = "a") { return Ledger(folder()).streaks(sources); }
  std::vector<std::string> damage() { return Ledger(folder()).damage(); }

  std::vector<std::string> lines() {
    std::istringstream in(tree_.read("ledger.jsonl"));
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
  void rewrite(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    tree_.write("ledger.jsonl", text);
  }
  std::filesystem::path folder() { return tree_.root(); }

  SourceTree tree_;
};

TEST_F(LedgerTest, IsEmptyBeforeTheFirstRound) {
  const Ledger ledger(folder() / "none");
  EXPECT_EQ(ledger.next_number(), 1);
  EXPECT_THAT(ledger.damage(), IsEmpty());
  EXPECT_EQ(ledger.streaks("a").source, 0);
}

TEST_F(LedgerTest, EachLineHasTheDigestOfTheOneBefore) {
  add_clean(3);
  const std::vector<std::string> all = lines();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(nlohmann::json::parse(all[0])["before"], std::string(64, '0'));
  EXPECT_EQ(nlohmann::json::parse(all[2])["before"], sha256(all[1]));
  EXPECT_THAT(damage(), IsEmpty());
}

TEST_F(LedgerTest, AChangedLineShows) {
  add_clean(4);
  const std::vector<std::string> whole = lines();
  for (std::size_t i = 0; i + 1 < whole.size(); ++i) {
    std::vector<std::string> changed = whole;
    changed[i].replace(changed[i].find("CLEAN"), 5, "CLEAr");
    rewrite(changed);
    EXPECT_THAT(damage(), Contains(HasSubstr(fmt::format("line {}: ", i + 1)))) << i;
  }
}

TEST_F(LedgerTest, AMissingLineShows) {
  add_clean(4);
  const std::vector<std::string> whole = lines();
  for (std::size_t i = 0; i + 1 < whole.size(); ++i) {
    std::vector<std::string> fewer = whole;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    rewrite(fewer);
    EXPECT_THAT(damage(), Contains(HasSubstr(fmt::format("line {}: expected round {}", i + 1, i + 1)))) << i;
  }
}

TEST_F(LedgerTest, ReorderedLinesShow) {
  add_clean(4);
  const std::vector<std::string> whole = lines();
  for (std::size_t i = 0; i + 1 < whole.size(); ++i) {
    std::vector<std::string> swapped = whole;
    std::swap(swapped[i], swapped[i + 1]);
    rewrite(swapped);
    EXPECT_THAT(damage(), Contains(HasSubstr(fmt::format("line {}: ", i + 1)))) << i;
  }
}

TEST_F(LedgerTest, AMissingFirstLineShowsEvenIfTheRestIsRenumbered) {
  add_clean(3);
  std::vector<std::string> rest = lines();
  rest.erase(rest.begin());
  for (std::string& line : rest) {
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(line);
    json["round"] = json["round"].get<int>() - 1;
    line = json.dump();
  }
  rewrite(rest);
  EXPECT_THAT(damage(), Contains(HasSubstr("line 1: it had a line before it")));
}

TEST_F(LedgerTest, ALineThatIsNoneOrCutOffShows) {
  add_clean(2);
  std::vector<std::string> all = lines();
  tree_.write("ledger.jsonl", all[0] + "\n" + all[1]);
  EXPECT_THAT(damage(), Contains(HasSubstr("line 2: it is cut off")));
  rewrite({"nonsense", all[1]});
  EXPECT_THAT(damage(), Contains(HasSubstr("line 1: expected the JSON object of a round")));
  rewrite({"{\"round\":\"one\",\"before\":1,\"report\":[]}", all[1]});
  EXPECT_THAT(damage(), Contains(HasSubstr("line 1: ")));
}

TEST_F(LedgerTest, TheLastLineIsHeldAgainstItsReport) {
  const Round round = next();
  Ledger ledger(folder());
  const std::string report = report_json(round).dump() + "\n";
  write_whole(ledger.report_path(1, "json"), report);
  ledger.append(round, sha256(report));
  EXPECT_THAT(damage(), IsEmpty());
  std::vector<std::string> changed = lines();
  changed[0].replace(changed[0].find("CLEAN"), 5, "CLEAr");
  const std::vector<std::string> whole = lines();
  rewrite(changed);
  EXPECT_THAT(damage(), Contains(HasSubstr("line 1: it is not the one that round-1.json was written with")));
  rewrite(whole);
  tree_.write("round-1.json", report + " ");
  EXPECT_THAT(damage(), Contains(HasSubstr("round-1.json")));
}

TEST_F(LedgerTest, ThreeCompleteRoundsMeetTheRule) {
  add_clean(2);
  EXPECT_FALSE(streaks().rule_is_met());
  add_clean(1);
  EXPECT_EQ(streaks().source, 3);
  EXPECT_EQ(streaks().complete, 3);
  EXPECT_TRUE(streaks().rule_is_met());
}

TEST_F(LedgerTest, OtherSourcesBeginFromZero) {
  add_clean(3);
  EXPECT_EQ(streaks("b").source, 0);
  add_clean(1, "b");
  EXPECT_EQ(streaks("b").complete, 1);
  // And so do the first ones when they come back.
  EXPECT_EQ(streaks("a").complete, 0);
  add_clean(1, "a");
  EXPECT_EQ(streaks("a").complete, 1);
}

TEST_F(LedgerTest, AStaleProgramCountsForTheSourcesAlone) {
  add_clean(1);
  Round stale = next();
  stale.binary.sources = "old";
  stale.attempts[2].outcome = Outcome::not_run;
  add(stale);
  EXPECT_EQ(streaks().source, 2);
  EXPECT_EQ(streaks().complete, 0);
  add_clean(1);
  EXPECT_EQ(streaks().source, 3);
  EXPECT_EQ(streaks().complete, 1);
}

TEST_F(LedgerTest, AStaleProgramCountsNotEvenIfAllAttemptsSayClean) {
  Round stale = next();
  stale.binary.sources = "old";
  add(stale);
  EXPECT_EQ(streaks().source, 1);
  EXPECT_EQ(streaks().complete, 0);
}

TEST_F(LedgerTest, AFailureOrAnInterruptionEndsBothStreaks) {
  const std::function<void(Round&)> breaks[] = {
      [](Round& round) { round.attempts[0].fail({}); }, [](Round& round) { round.attempts[1].fail({}); },
      [](Round& round) { round.attempts[2].fail({}); }, [](Round& round) { round.interrupted = true; },
      [](Round& round) { round.attempts[0].give_up("why"); }};
  for (const auto& spoil : breaks) {
    add_clean(2);
    Round round = next();
    spoil(round);
    add(round);
    EXPECT_EQ(streaks().source, 0);
    EXPECT_EQ(streaks().complete, 0);
    add_clean(1);
    EXPECT_EQ(streaks().complete, 1);
  }
}

TEST_F(LedgerTest, ARoundOfSomeAttemptsIsNotComplete) {
  add_clean(1);
  Round partial = next();
  partial.attempts[1].outcome = partial.attempts[2].outcome = Outcome::not_run;
  add(partial);
  EXPECT_EQ(streaks().source, 2);
  EXPECT_EQ(streaks().complete, 0);
  Round without_model = next();
  without_model.attempts[0].outcome = Outcome::not_run;
  add(without_model);
  EXPECT_EQ(streaks().source, 0);
}

TEST_F(LedgerTest, OneProcessHasAClaim) {
  const Claim claim(folder() / "new");
  EXPECT_THROW(Claim(folder() / "new"), std::runtime_error);
  EXPECT_TRUE(standing_of(Ledger(folder() / "new"), "a").in_progress);
  EXPECT_FALSE(standing_of(Ledger(folder()), "a").in_progress);
}

TEST_F(LedgerTest, ARoundThatWasKilledIsTold) {
  add_clean(3);
  const Round begun = next();
  {
    const Claim claim(folder());
    EXPECT_FALSE(claim.cut_off(Ledger(folder())));
    claim.begin(begun);
  }
  const Standing standing = standing_of(Ledger(folder()), "a");
  EXPECT_TRUE(standing.cut_off);
  EXPECT_EQ(standing.streaks.complete, 0);
  const Claim claim(folder());
  const std::optional<Round> killed = claim.cut_off(Ledger(folder()));
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->number, 4);
  EXPECT_EQ(killed->sources, "a");
  EXPECT_EQ(killed->result(), "INCOMPLETE");
  add(*killed);
  EXPECT_FALSE(claim.cut_off(Ledger(folder()))) << "it has its line now";
  EXPECT_EQ(streaks().source, 0);
}

TEST_F(LedgerTest, ANoteThatCannotBeReadIsARoundThatWasKilled) {
  tree_.write("in-progress.json", "{\"rou");
  EXPECT_TRUE(standing_of(Ledger(folder()), "a").cut_off);
  EXPECT_EQ(Claim(folder()).cut_off(Ledger(folder()))->number, 1);
}

}  // namespace
}  // namespace millrace::tool
