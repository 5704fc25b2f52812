// A round from its first file to its line in the ledger, with attempts that only say what they are told.
#include "verify/run_round.h"

#include <gmock/gmock.h>

#include "verify/sha256.h"
#include "verify_support.h"

namespace millrace::tool {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class RoundTest : public ::testing::Test {
 protected:
  RoundTest() {
    tree_.write("program", "as it was built");
    setup_.root = tree_.root();
    setup_.ledger = tree_.root() / "ledger";
    setup_.program = tree_.root() / "program";
    rebuild();
    setup_.attempts.fill([this](const AttemptContext&) {
      ++ran_;
      Attempt attempt;
      attempt.outcome = Outcome::clean;
      return attempt;
    });
  }
  void rebuild() {
    setup_.binary = {sha256_of_file(setup_.program), "2026-01-01T00:00:00Z", tree_.digest(), "GCC"};
  }
  Ledger ledger() const { return Ledger(setup_.ledger); }
  Streaks streaks() const { return ledger().streaks(tree_.digest()); }

  SourceTree tree_;
  RoundSetup setup_;
  int ran_ = 0;
};

TEST_F(RoundTest, ThreeInARowMeetTheRule) {
  for (int number = 1; number <= 3; ++number) {
    EXPECT_FALSE(streaks().rule_is_met());
    const Round round = run_round(setup_);
    EXPECT_EQ(round.number, number);
    EXPECT_EQ(round.result(), "CLEAN");
  }
  EXPECT_TRUE(streaks().rule_is_met());
  EXPECT_EQ(ran_, 9);
  EXPECT_THAT(ledger().damage(), ::testing::IsEmpty());
  EXPECT_THAT(tree_.read("ledger/round-3.txt"), HasSubstr("Verification Round N=3 - 3 Rigorous Attempts"));
  EXPECT_THAT(tree_.read("ledger/round-3.json"), HasSubstr("\"result\": \"CLEAN\""));
}

TEST_F(RoundTest, AStaleProgramDoesNotRun) {
  setup_.attempts[2] = [](const AttemptContext&) -> Attempt { throw std::logic_error("ran"); };
  tree_.write("src/a.cc", "int changed;");
  const Round round = run_round(setup_);
  EXPECT_EQ(round.result(), "INCOMPLETE");
  EXPECT_EQ(round.attempts[2].outcome, Outcome::not_run);
  EXPECT_THAT(round.attempts[2].conclusion, HasSubstr("STALE"));
  EXPECT_EQ(streaks().source, 1);
  EXPECT_EQ(streaks().complete, 0);
}

TEST_F(RoundTest, AChangedSourceBeginsFromZeroAndARebuildGoesOn) {
  for (int i = 0; i < 3; ++i) run_round(setup_);
  tree_.write("src/a.cc", "int changed;");
  EXPECT_EQ(streaks().source, 0);
  run_round(setup_);
  EXPECT_EQ(streaks().source, 1);
  EXPECT_EQ(streaks().complete, 0);
  rebuild();
  EXPECT_EQ(run_round(setup_).result(), "CLEAN");
  EXPECT_EQ(streaks().source, 2);
  EXPECT_EQ(streaks().complete, 1);
}

TEST_F(RoundTest, SourcesThatChangeMeanwhileMakeItIncomplete) {
  setup_.attempts[0] = [this](const AttemptContext&) {
    tree_.write("src/a.cc", "int meanwhile;");
    Attempt attempt;
    attempt.outcome = Outcome::clean;
    return attempt;
  };
  const Round round = run_round(setup_);
  EXPECT_EQ(round.result(), "INCOMPLETE");
  EXPECT_EQ(round.attempts[0].outcome, Outcome::incomplete);
  EXPECT_EQ(streaks().source, 0);
}

TEST_F(RoundTest, AProgramThatChangesMeanwhileMakesItIncomplete) {
  setup_.attempts[2] = [this](const AttemptContext&) {
    tree_.write("program", "another");
    Attempt attempt;
    attempt.outcome = Outcome::clean;
    return attempt;
  };
  EXPECT_EQ(run_round(setup_).result(), "INCOMPLETE");
  rebuild();
  setup_.attempts[2] = [this](const AttemptContext&) {
    std::filesystem::remove(setup_.program);
    Attempt attempt;
    attempt.outcome = Outcome::clean;
    return attempt;
  };
  EXPECT_EQ(run_round(setup_).result(), "INCOMPLETE");
}

TEST_F(RoundTest, AFailureIsFoundInItsReport) {
  setup_.attempts[1] = [](const AttemptContext&) {
    Attempt attempt;
    attempt.fail({"a mutant survives", "mutate.py --only it", ""});
    return attempt;
  };
  EXPECT_EQ(run_round(setup_).result(), "FAILED");
  EXPECT_EQ(ran_, 2) << "the other attempts run all the same";
  EXPECT_THAT(tree_.read("ledger/round-1.txt"), HasSubstr("mutate.py --only it"));
}

TEST_F(RoundTest, AnAttemptThatThrowsIsIncomplete) {
  setup_.attempts[0] = [](const AttemptContext&) -> Attempt { throw std::runtime_error("no room"); };
  const Round round = run_round(setup_);
  EXPECT_EQ(round.result(), "INCOMPLETE");
  EXPECT_THAT(round.attempts[0].outputs, Contains("no room"));
}

TEST_F(RoundTest, OnlyWhatWasAskedForRuns) {
  setup_.wanted = {true, false, false};
  const Round round = run_round(setup_);
  EXPECT_EQ(ran_, 1);
  EXPECT_EQ(round.result(), "INCOMPLETE");
  EXPECT_EQ(streaks().source, 1);
}

TEST_F(RoundTest, ARoundThatWasKilledHasItsLineBeforeTheNext) {
  run_round(setup_);
  Claim(setup_.ledger).begin(clean_round(2, tree_.digest()));
  EXPECT_EQ(run_round(setup_).number, 3);
  EXPECT_EQ(streaks().complete, 1);
  EXPECT_THAT(ledger().damage(), ::testing::IsEmpty());
}

TEST_F(RoundTest, ADamagedLedgerIsLeftAlone) {
  run_round(setup_);
  run_round(setup_);
  std::string text = tree_.read("ledger/ledger.jsonl");
  text.replace(text.find("CLEAN"), 5, "CLEAr");
  tree_.write("ledger/ledger.jsonl", text);
  try {
    run_round(setup_);
    FAIL() << "nothing was thrown";
  } catch (const LedgerDamaged& damaged) {
    EXPECT_THAT(damaged.what(), HasSubstr("line 1: "));
  }
  EXPECT_EQ(tree_.read("ledger/ledger.jsonl"), text);
  EXPECT_EQ(ran_, 6);
}

}  // namespace
}  // namespace millrace::tool
