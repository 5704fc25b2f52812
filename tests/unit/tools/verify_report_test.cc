// What a round's report says.
#include "verify/report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "verify_support.h"

namespace millrace::tool {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(VerifyReport, HasTheTitleAndTheResult) {
  const std::string text = report_text(clean_round(7, "a"));
  EXPECT_THAT(text, StartsWith("Verification Round N=7 - 3 Rigorous Attempts\n"));
  EXPECT_THAT(text, HasSubstr("result    CLEAN\n"));
  EXPECT_THAT(text, HasSubstr("from these sources\n"));
  EXPECT_THAT(text, HasSubstr("Action required\n  none\n"));
}

TEST(VerifyReport, AFindingIsRepeatableFromIt) {
  Round round = clean_round(1, "a");
  round.attempts[0].fail({"gate.enter: expected proved, found race",
                          "verify_scenarios --replay gate.enter '0.0:i'", "1  starts thread 1\n2  race\n"});
  EXPECT_EQ(round.result(), "FAILED");
  const std::string text = report_text(round);
  for (const char* part :
       {"result    FAILED", "expected proved, found race",
        "to repeat: verify_scenarios --replay gate.enter '0.0:i'\n", "2  race", "repeat each finding"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  const nlohmann::ordered_json json = report_json(round);
  EXPECT_EQ(json["attempts"][0]["findings"][0]["repeat"], "verify_scenarios --replay gate.enter '0.0:i'");
  EXPECT_EQ(json["result"], "FAILED");
}

TEST(VerifyReport, AStaleProgramIsSaidWithTheCommandThatRebuildsIt) {
  Round round = clean_round(1, "a");
  round.binary.sources = "b";
  round.attempts[2].outcome = Outcome::not_run;
  EXPECT_EQ(round.result(), "INCOMPLETE");
  EXPECT_THAT(report_text(round), HasSubstr("STALE: not from these sources, but from b"));
  EXPECT_THAT(action_required(round), HasSubstr(kRebuild));
  round.binary.sources.clear();
  EXPECT_TRUE(round.is_stale());
  EXPECT_THAT(report_text(round), HasSubstr("STALE"));
}

TEST(VerifyReport, AnInterruptedRoundIsIncomplete) {
  Round round = clean_round(1, "a");
  round.interrupted = true;
  EXPECT_THAT(report_text(round), HasSubstr("result    INCOMPLETE: interrupted\n"));
  EXPECT_THAT(action_required(round), Not(HasSubstr("none\n")));
}

TEST(VerifyReport, WhatFailedStaysFailed) {
  Attempt attempt;
  attempt.fail({"what", "", ""});
  attempt.give_up("why");
  EXPECT_EQ(attempt.outcome, Outcome::failed);
}

TEST(VerifyReport, LongOutputIsCutInTheTextAlone) {
  Round round = clean_round(1, "a");
  std::string output;
  for (int i = 0; i < 1000; ++i) output += fmt::format("line {}\n", i);
  round.attempts[2].fail({"what", "command", output});
  EXPECT_THAT(report_text(round), HasSubstr("... 800 lines more in the JSON"));
  EXPECT_EQ(report_json(round)["attempts"][2]["findings"][0]["output"], output);
}

TEST(VerifyReport, NamesNoPlaceOfThisMachine) {
  EXPECT_EQ(without_root("at /home/me/tree/src/a.cc:3 and /home/me/tree/b", "/home/me/tree"),
            "at src/a.cc:3 and b");
  EXPECT_EQ(without_root("at /else/where/build/release/../../src/sync/gate.h:3\n", "/home/me/tree"),
            "at src/sync/gate.h:3\n");
}

}  // namespace
}  // namespace millrace::tool
