// Protect mode: two uses of memory that nothing orders are both named, ordered ones never.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "conformance/dependency_programs.h"
#include "support/expect_error.h"
#include "support/test_device.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

using std::chrono::seconds;

std::string describe(const std::vector<MissingDependency>& found) {
  std::string text;
  for (const MissingDependency& each : found) {
    text += each.earlier.operation + " (stream " + std::to_string(each.earlier.stream) + ", line " +
            std::to_string(each.earlier.place.line) + ") and " + each.later.operation + " (stream " +
            std::to_string(each.later.stream) + ", line " + std::to_string(each.later.place.line) + "); ";
  }
  return text;
}

bool names(const MissingDependency& found, const std::string& first, const std::string& second) {
  const std::string& one = found.earlier.operation;
  const std::string& other = found.later.operation;
  return (one == first && other == second) || (one == second && other == first);
}

class MissingDependencyTest : public testing::TestWithParam<Program> {
 protected:
  void SetUp() override { MILLRACE_SKIP_IF_UNSUPPORTED({.protect = true}); }

  void check(bool settle) {
    const Watchdog watchdog(GetParam().name, seconds(60));
    Bench bench(settle);
    GetParam().run(bench);
    if (GetParam().first == nullptr) {
      bench.device.synchronize();
    } else {
      // A rule like the others: the later work fails, and whoever waits is told.
      expect_rule("missing-dependency", [&] { bench.device.synchronize(); });
    }
    const std::vector<MissingDependency> found = bench.device.missing_dependencies();
    if (GetParam().first == nullptr) {
      EXPECT_TRUE(found.empty()) << "nothing is missing in this program, but found: " << describe(found);
      return;
    }
    bool named = false;
    for (const MissingDependency& each : found) {
      EXPECT_TRUE(names(each, GetParam().first, GetParam().second))
          << "beside the point: " << describe({each});
      named |= names(each, GetParam().first, GetParam().second);
      EXPECT_NE(each.earlier.stream, each.later.stream);
      EXPECT_NE(each.earlier.place.line, each.later.place.line);
      EXPECT_TRUE(each.earlier.mode == AccessMode::write || each.later.mode == AccessMode::write);
      for (const MissingDependency::Side& side : {each.earlier, each.later}) {
        EXPECT_GT(side.sequence, 0u);
        if (side.operation == "sum") continue;  // reduce is not told where it is called
        EXPECT_NE(std::string(side.place.file).find("dependency_programs.h"), std::string::npos);
        EXPECT_GT(side.place.line, 0);
      }
      EXPECT_GT(each.bytes, 0u);
    }
    EXPECT_TRUE(named) << "not named: " << GetParam().first << " and " << GetParam().second << "; "
                       << describe(found);
  }
};

TEST_P(MissingDependencyTest, InQuickSuccession) {
  check(false);
}
TEST_P(MissingDependencyTest, WhenNothingWentWrong) {
  check(true);
}

std::string name_of(const testing::TestParamInfo<Program>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Wrong, MissingDependencyTest, testing::ValuesIn(kWrong), name_of);
INSTANTIATE_TEST_SUITE_P(Right, MissingDependencyTest, testing::ValuesIn(kRight), name_of);

// As many uses as there are, which a braced list can't be.
TEST(MissingDependencies, OfUsesInASpan) {
  MILLRACE_SKIP_IF_UNSUPPORTED({.protect = true});
  Device device = create_test_device({.protect = true});
  const StreamLease first = device.lease(), second = device.lease();
  std::vector<Buffer> buffers;
  std::vector<Use> written, read;
  for (int i = 0; i < 9; ++i) {
    buffers.push_back(device.buffer(first.stream(), 4096));
    written.push_back(writes(buffers.back().data(), 4096));
    read.push_back(reads(buffers.back().data(), 4096));
  }
  Stream writer = first.stream(), reader = second.stream();
  writer.run(
      "write all", [] {}, std::span<const Use>(written));
  writer.commit();
  Recorder recorder = reader.record();
  recorder.run(
      "read the last", [] {}, std::span<const Use>(read).last(1));
  recorder.end();
  expect_rule("missing-dependency", [&] { device.synchronize(); });
  const std::vector<MissingDependency> found = device.missing_dependencies();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(names(found.front(), "write all", "read the last")) << describe(found);
  EXPECT_EQ(found.front().address, buffers.back().data());
  // What was found counts once; the memory is freed in order.
  Event done = device.event();
  done.record(writer);
  writer.commit();
  reader.wait_event(done);
  reader.commit();
  device.synchronize();
}

}  // namespace
}  // namespace millrace::test
