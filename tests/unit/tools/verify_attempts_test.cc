// What the attempts make of what the programs of a source tree say; the programs are scripts here.
#include "verify/attempts.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "stress/runner.h"
#include "verify_support.h"

namespace millrace::tool {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kScenarios = "build/release/bin/verify_scenarios";
constexpr const char* kGood =
    R"({"name":"good","expected":"proved","met":true,"verdict":"pass","coverage":"complete","executions":7,)"
    R"("seconds":0.1,"message":"","report":"","replay":""})";
constexpr const char* kBounded =
    R"({"name":"half","expected":"bounded: why","met":true,"verdict":"pass","coverage":"bounded","executions":5,)"
    R"("seconds":0.1,"message":"","report":"","replay":""})";
constexpr const char* kBad =
    R"({"name":"bad","expected":"proved","met":false,"verdict":"race","coverage":"complete","executions":1,)"
    R"("seconds":0.1,"message":"two accesses","report":"the execution","replay":"0.0:i*2"})";

class AttemptsTest : public ::testing::Test {
 protected:
  AttemptsTest() {
    context_.root = tree_.root();
    context_.program = tree_.root() / "millrace";
    tree_.write("verify/rules.txt",
                "python3 tests/layers/check_layers.py .\nscripts/format --check  # skipped\n");
    context_.sources = tree_.digest();
    tree_.write("scripts/setup.sh", "build() { echo \"$@\" >>built; }\n");
    tree_.write("tests/layers/check_layers.py", "");
    tree_.write_program("scripts/format", "#!/bin/sh\nexit 77\n");
    torch("exit 77");
    scenarios({kGood}, 0);
  }
  /// scripts/pytorch-run; what it was asked stands in "torch".
  void torch(const std::string& ends) {
    tree_.write_program("scripts/pytorch-run", "#!/bin/sh\necho \"$@\" >>torch\n" + ends + "\n");
  }
  /// A program that lists these scenarios and, run, says their results; what it was asked stands in "asked".
  void scenarios(const std::vector<std::string>& lines, int status) {
    std::string script = "#!/bin/sh\necho \"$@\" >>asked\n";
    for (const std::string& line : lines) script += fmt::format("echo '{}'\n", line);
    tree_.write_program(kScenarios, script + fmt::format("[ \"$1\" = --list ] || exit {}\n", status));
  }
  void harness(const std::string& document, int status) {
    tree_.write(
        "verify/mutants/mutate.py",
        fmt::format("import sys\nopen(sys.argv[2], 'w').write('''{}''')\nsys.exit({})\n", document, status));
  }
  /// Millraces that pass, but for what `case` catches; what they were asked stands in "ran".
  void programs(const std::string& cases) {
    const std::string script =
        "#!/bin/sh\nif [ $1 = devices ]; then echo '{\"devices\": [{\"name\": \"host:0\"}, {\"name\": "
        "\"cuda:0\"}]}'; exit; fi\n"
        "echo \"$0 $@\" >>ran\ncase \"$0 $*\" in\n" +
        cases + "\nesac\n";
    for (const char* path : {"millrace", "build/tsan/bin/millrace", "build/asan/bin/millrace"}) {
      tree_.write_program(path, script);
    }
  }

  SourceTree tree_;
  AttemptContext context_;
};

TEST_F(AttemptsTest, ScenariosThatShowWhatTheyShouldAreClean) {
  const Attempt attempt = source_attempt(context_);
  EXPECT_EQ(attempt.outcome, Outcome::clean);
  EXPECT_THAT(attempt.outputs, Contains("good: pass complete, 7 executions, 0.10 s"));
  EXPECT_THAT(attempt.outputs, Contains(HasSubstr("scripts/format --check: skipped")));
  EXPECT_THAT(attempt.conclusion, HasSubstr("1 of 1 scenarios"));
  EXPECT_EQ(tree_.read("built"), "release verify_scenarios\n");
}

TEST_F(AttemptsTest, ACompleteVerdictIsKeptForTheseSources) {
  scenarios({kGood, kBounded}, 0);
  source_attempt(context_);
  tree_.write("asked", "");
  EXPECT_THAT(source_attempt(context_).outputs,
              AllOf(Contains(HasSubstr("good: pass complete, 7 executions, 0.10 s, kept since 20")),
                    Contains(HasSubstr("half: pass bounded, 5 executions"))));
  EXPECT_THAT(tree_.read("asked"), ::testing::EndsWith("--workers 1 half\n"));
  tree_.write("src/a.cc", "int changed;");
  context_.sources = tree_.digest();
  source_attempt(context_);
  EXPECT_THAT(tree_.read("asked"), ::testing::EndsWith("--workers 1 good half\n"));
}

TEST_F(AttemptsTest, NothingIsKeptOfSourcesThatChangedMeanwhile) {
  scenarios({"'; echo 'int meanwhile;' >src/a.cc; echo '" + std::string(kGood)}, 0);
  source_attempt(context_);
  EXPECT_EQ(std::filesystem::exists(tree_.root() / "build/verify"), false);
}

TEST_F(AttemptsTest, AScenarioThatFailsIsRepeatable) {
  scenarios({kGood, kBad}, 1);
  for (int round = 1; round <= 2; ++round) {
    const Attempt attempt = source_attempt(context_);
    EXPECT_EQ(attempt.outcome, Outcome::failed);
    ASSERT_THAT(attempt.findings, SizeIs(1));
    EXPECT_EQ(attempt.findings[0].what, "bad: expected proved, found race (complete): two accesses");
    EXPECT_EQ(attempt.findings[0].repeat, std::string(kScenarios) + " --replay bad '0.0:i*2'");
    EXPECT_EQ(attempt.findings[0].output, "the execution");
  }
}

TEST_F(AttemptsTest, AScenarioWithoutAVerdictIsAFinding) {
  tree_.write_program(kScenarios,
                      fmt::format("#!/bin/sh\necho '{}'\nif [ \"$1\" = --list ]; then echo '{}'; else kill "
                                  "-SEGV $$; fi\n",
                                  kGood, kBad));
  const Attempt attempt = source_attempt(context_);
  ASSERT_THAT(attempt.findings, SizeIs(1));
  EXPECT_THAT(attempt.findings[0].what,
              HasSubstr("bad has no verdict: verify_scenarios was ended by signal 11"));
}

TEST_F(AttemptsTest, WhatSomebodyStopsIsIncomplete) {
  tree_.write_program(kScenarios,
                      fmt::format("#!/bin/sh\necho '{}'\n[ \"$1\" = --list ] || kill -TERM $$\n", kBounded));
  EXPECT_EQ(source_attempt(context_).outcome, Outcome::incomplete);
  programs("*'--threads 4'*) kill -KILL $$;;");
  EXPECT_EQ(runtime_attempt(context_).outcome, Outcome::incomplete);
}

TEST_F(AttemptsTest, NoScenariosAreAFinding) {
  scenarios({}, 0);
  EXPECT_EQ(source_attempt(context_).outcome, Outcome::failed);
  scenarios({kGood}, 0);
  tree_.write("scripts/setup.sh", "build() { echo 'does not compile'; return 1; }\n");
  const Attempt attempt = source_attempt(context_);
  ASSERT_THAT(attempt.findings, SizeIs(1));
  EXPECT_EQ(attempt.findings[0].output, "does not compile\n");
}

TEST_F(AttemptsTest, ABrokenRuleIsAFinding) {
  tree_.write("tests/layers/check_layers.py", "import sys\nprint('src/a.cc:1: length')\nsys.exit(1)\n");
  const Attempt attempt = source_attempt(context_);
  ASSERT_THAT(attempt.findings, SizeIs(1));
  EXPECT_EQ(attempt.findings[0].repeat, "python3 tests/layers/check_layers.py .");
  EXPECT_EQ(attempt.findings[0].output, "src/a.cc:1: length\n");
}

TEST_F(AttemptsTest, MutantsAreScored) {
  harness(R"({"mutants":[{"name":"m1","killed":true,"by":"gate.enter","verdict":"race"}],"killed":1,"of":1})",
          0);
  const Attempt attempt = mutants_attempt(context_);
  EXPECT_EQ(attempt.outcome, Outcome::clean);
  EXPECT_EQ(attempt.conclusion, "1 of 1 mutants were killed");
  EXPECT_THAT(attempt.outputs, Contains("m1: killed by gate.enter: race"));
}

TEST_F(AttemptsTest, AMutantThatSurvivesIsAFinding) {
  harness(R"({"mutants":[{"name":"m1","killed":false,"scenario":"gate.","error":null}],"killed":0,"of":1})",
          1);
  const Attempt attempt = mutants_attempt(context_);
  ASSERT_THAT(attempt.findings, SizeIs(1));
  EXPECT_THAT(attempt.findings[0].what, HasSubstr("m1 survives"));
  EXPECT_EQ(attempt.findings[0].repeat, "python3 verify/mutants/mutate.py --only m1");
}

TEST_F(AttemptsTest, AScoreThatIsNotWholeIsAFinding) {
  for (const char* document :
       {R"({"mutants":[],"killed":0,"of":0})", R"({"mutants":[],"killed":0,"of":1})", "{", "[]"}) {
    harness(document, 0);
    EXPECT_EQ(mutants_attempt(context_).outcome, Outcome::failed) << document;
  }
  harness(R"({"mutants":[{"name":"m1","killed":true}],"killed":1,"of":1})", 2);
  EXPECT_EQ(mutants_attempt(context_).outcome, Outcome::failed);
  std::filesystem::remove(tree_.root() / "verify/mutants/mutate.py");
  EXPECT_EQ(mutants_attempt(context_).outcome, Outcome::failed);
}

TEST_F(AttemptsTest, EveryStressRunsOnEveryDeviceAndUnderTheSanitizers) {
  programs("");
  const Attempt attempt = runtime_attempt(context_);
  EXPECT_EQ(attempt.outcome, Outcome::clean) << attempt.findings.front().output;
  const std::string ran = tree_.read("ran");
  for (const StressKind& kind : stress_kinds()) {
    for (const int threads : {4, 8}) {
      for (const char* device : {"host:0", "cuda:0"}) {
        EXPECT_THAT(
            ran, HasSubstr(fmt::format("/millrace stress {} --device {} --threads {} --iterations {} --seed",
                                       kind.name, device, threads, kind.iterations)));
      }
      for (const char* flavour : {"tsan", "asan"}) {
        EXPECT_THAT(ran, HasSubstr(fmt::format(
                             "build/{}/bin/millrace stress {} --device host:0 --threads {} --iterations {} ",
                             flavour, kind.name, threads, kind.iterations / 10)));
      }
    }
  }
  EXPECT_EQ(tree_.read("built"), "tsan millrace_program\nasan millrace_program\n");
  EXPECT_EQ(attempt.figures["seeds"].size(), 8U);
  EXPECT_NE(attempt.figures["seeds"], runtime_attempt(context_).figures["seeds"]) << "seeds are fresh";
}

TEST_F(AttemptsTest, AStressThatFailsIsRepeatable) {
  programs(
      "*'/millrace stress handlers --device host:0 --threads 8'*--iterations\\ 10000*) echo lost; exit 1;;");
  const Attempt attempt = runtime_attempt(context_);
  const std::size_t runs = 8 * stress_kinds().size();  // on two devices, and two sanitizers; 4 and 8 threads
  ASSERT_THAT(attempt.findings, SizeIs(1));
  EXPECT_THAT(attempt.findings[0].what, HasSubstr("release: stress handlers on host:0, 8 threads, seed "));
  EXPECT_THAT(attempt.findings[0].repeat,
              ::testing::StartsWith(
                  "millrace stress handlers --device host:0 --threads 8 --iterations 10000 --seed "));
  EXPECT_EQ(attempt.findings[0].output, "lost\n");
  EXPECT_THAT(attempt.conclusion, HasSubstr(fmt::format("{} of {} runs passed", runs - 1, runs)));
}

TEST_F(AttemptsTest, ASanitizersFindingHasItsEnvironment) {
  programs("*tsan*reduce*threads\\ 4*) echo race >&2; exit 66;;");
  const Attempt attempt = runtime_attempt(context_);
  ASSERT_THAT(attempt.findings, SizeIs(1));
  EXPECT_THAT(attempt.findings[0].repeat, AllOf(HasSubstr("TSAN_OPTIONS=halt_on_error=1"),
                                                HasSubstr("build/tsan/bin/millrace stress reduce")));
}

TEST_F(AttemptsTest, TorchsDeviceIsStressedWhereThereIsATorch) {
  programs("");
  EXPECT_THAT(runtime_attempt(context_).outputs, Contains("torch: not installed, its device was not run"));
  torch("");
  const Attempt attempt = runtime_attempt(context_);
  EXPECT_EQ(attempt.outcome, Outcome::clean);
  for (const int threads : {4, 8}) {
    EXPECT_THAT(
        tree_.read("torch"),
        HasSubstr(fmt::format("--no-install -m millrace_torch stress all --threads {} --seed ", threads)));
  }
  EXPECT_EQ(attempt.figures["seeds"].size(), 10U);
}

TEST_F(AttemptsTest, WhatTorchsDeviceDoesWrongIsAFinding) {
  programs("");
  torch("case \"$*\" in *--threads\\ 8*) echo wrong; exit 1;; esac");
  const Attempt wrong = runtime_attempt(context_);
  ASSERT_THAT(wrong.findings, SizeIs(1));
  EXPECT_THAT(wrong.findings[0].what, HasSubstr("torch: stress all on millrace:0, 8 threads, seed "));
  EXPECT_THAT(
      wrong.findings[0].repeat,
      ::testing::StartsWith("scripts/pytorch-run --no-install -m millrace_torch stress all --threads 8"));
  EXPECT_EQ(wrong.findings[0].output, "wrong\n");
  torch("echo 'does not compile'; exit 1");
  const Attempt not_built = runtime_attempt(context_);
  ASSERT_THAT(not_built.findings, SizeIs(1));
  EXPECT_THAT(not_built.findings[0].what, HasSubstr("torch's device ended with exit status 1"));
  torch("kill -TERM $$");
  EXPECT_EQ(runtime_attempt(context_).outcome, Outcome::incomplete);
}

TEST_F(AttemptsTest, NoDevicesAreAFinding) {
  tree_.write_program("millrace", "#!/bin/sh\nexit 4\n");
  tree_.write("scripts/setup.sh", "build() { return 1; }\n");
  EXPECT_THAT(runtime_attempt(context_).findings, SizeIs(3));
}

}  // namespace
}  // namespace millrace::tool
