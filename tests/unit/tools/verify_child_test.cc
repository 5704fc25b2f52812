// Programs that a round runs: what they say, how they end, that nothing of them is left.
#include "verify/child.h"

#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <string>
#include <thread>

#include <gmock/gmock.h>

#include "format_support.h"

namespace millrace::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ChildCommand shell(const std::string& script, std::chrono::seconds limit = std::chrono::seconds(60)) {
  return {.arguments = {"sh", "-c", script}, .environment = {}, .folder = "/", .limit = limit};
}

TEST(Child, GivesItsLinesAsTheyComeAndItsStatus) {
  std::vector<std::string> lines;
  const ChildCommand command = shell("echo one; echo two >&2; printf 'three\\nfour'; exit 3");
  const ChildResult result = run_child(command, [&](const std::string& line) { lines.push_back(line); });
  EXPECT_THAT(lines, ElementsAre("one", "three"));
  EXPECT_EQ(result.output, "one\nthree\nfour");
  EXPECT_EQ(result.errors, "two\n");
  EXPECT_EQ(result.status, 3);
  EXPECT_FALSE(result.succeeded());
  EXPECT_EQ(result.how_it_ended(command), "ended with exit status 3");
}

TEST(Child, HasItsFolderAndEnvironmentAndNoInput) {
  ChildCommand command = shell("pwd; echo $MILLRACE_TEST_WORD; cat");
  command.folder = "/usr";
  command.environment = {"MILLRACE_TEST_WORD=word"};
  const ChildResult result = run_child(command);
  EXPECT_TRUE(result.succeeded());
  EXPECT_EQ(result.output, "/usr\nword\n");
}

TEST(Child, MayWriteMoreThanAPipeHolds) {
  const ChildResult result = run_child(shell("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"));
  EXPECT_EQ(result.output.size(), 3'000'000U);
  EXPECT_EQ(result.errors.size(), 3'000'000U);
}

TEST(Child, ASignalIsNamed) {
  const ChildCommand command = shell("kill -SEGV $$");
  const ChildResult result = run_child(command);
  EXPECT_EQ(result.end, ChildResult::End::signalled);
  EXPECT_THAT(result.how_it_ended(command), StartsWith("was ended by signal 11"));
  EXPECT_FALSE(result.was_stopped()) << "its own doing";
  EXPECT_TRUE(run_child(shell("kill -TERM $$")).was_stopped());
  EXPECT_FALSE(run_child(shell("exit 143")).was_stopped());
}

TEST(Child, AProgramThatDoesNotExistEndsWith127) {
  ChildCommand command = shell("");
  command.arguments = {"/none/such"};
  EXPECT_EQ(run_child(command).status, 127);
  command = shell("echo never");
  command.folder = "/none/such";
  EXPECT_EQ(run_child(command).status, 127);
}

TEST(Child, WhatTakesTooLongIsEndedWithAllThatItStarted) {
  const ChildCommand command = shell("sleep 100 & echo $!; wait", std::chrono::seconds(1));
  const ChildResult result = run_child(command);
  EXPECT_EQ(result.end, ChildResult::End::timed_out);
  EXPECT_EQ(result.how_it_ended(command), "took longer than 1 s");
  EXPECT_TRUE(result.was_stopped());
  EXPECT_LT(result.seconds, 9);
  const pid_t grandchild = std::stoi(result.output);
  for (int i = 0; i < 100 && ::kill(grandchild, 0) == 0; ++i) {
    std::ifstream stat("/proc/" + std::to_string(grandchild) + "/stat");
    std::string text{std::istreambuf_iterator<char>(stat), {}};
    if (text.find(") Z") != std::string::npos) return;  // ended, and nobody's to wait for here
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_NE(::kill(grandchild, 0), 0) << "still runs";
}

TEST(Child, WhatItLeavesBehindDoesNotHoldUs) {
  const ChildResult result = run_child(shell("sleep 100 >/dev/null 2>&1 & echo done"));
  EXPECT_TRUE(result.succeeded());
  EXPECT_LT(result.seconds, 5);
}

TEST(Child, IsWrittenAsAShellTakesIt) {
  ChildCommand command = shell("");
  command.environment = {"A=b c"};
  command.arguments = {"prog", "--x", "0.0:i*2", "it's", ""};
  EXPECT_EQ(shell_text(command), "'A=b c' prog --x '0.0:i*2' 'it'\\''s' ''");
  const ChildResult result = run_child(shell("printf '%s|' '0.0:i*2' 'it'\\''s' ''"));
  EXPECT_EQ(result.output, "0.0:i*2|it's||");
}

}  // namespace
}  // namespace millrace::tool
