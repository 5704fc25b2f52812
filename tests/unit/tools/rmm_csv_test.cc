// RMM's logs: what is read, and what is said of a line that is not one.
#include "formats/rmm_csv.h"

#include <string>
#include <vector>

#include "format_support.h"

namespace millrace::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kHeader = "Thread,Time,Action,Pointer,Size,Stream\n";

AllocationLog parse(const std::string& content) {
  return parse_rmm_csv(bytes_of(content), "log.csv");
}

Refusal refused(const std::string& lines) {
  return refusal_of([&] { parse(kHeader + lines); });
}

TEST(RmmCsv, ReadsWhatRmmWrites) {
  const std::string lines =
      "1979932,14:21:19.998533,allocate,0x30a000000,256,0x2\r\n"
      "140573312345856,15:32:13:123456,allocate,0x7f8a40000400,2048,0\n"
      "1979932,14:21:20.000000,allocate failure,(nil),99999999999,0x2\n"
      "140573312345856,14:21:32.661875,free,0x30a000000,256,0x2\n";
  const AllocationLog log = parse(kHeader + lines);
  EXPECT_EQ(log.entries, 4U);
  EXPECT_EQ(log.failures, 1U);
  EXPECT_THAT(log.threads, ElementsAre(1979932U, 140573312345856U));
  EXPECT_THAT(log.streams, ElementsAre(2U, 0U));
  ASSERT_EQ(log.events.size(), 3U);
  EXPECT_EQ(log.events[0].action, LogAction::allocate);
  EXPECT_EQ(log.events[0].address, 0x30a000000U);
  EXPECT_EQ(log.events[0].bytes, 256U);
  EXPECT_EQ(log.events[0].number, 1U);
  EXPECT_EQ(log.events[0].at, kHeader.size());
  EXPECT_EQ(log.events[1].thread, 1U);
  EXPECT_EQ(log.events[1].stream, 1U);
  EXPECT_EQ(log.events[2].action, LogAction::release);
  EXPECT_EQ(log.events[2].thread, 1U);
  EXPECT_EQ(log.events[2].stream, 0U);
  EXPECT_EQ(log.events[2].number, 4U);
}

TEST(RmmCsv, TakesNullForABlockOfNoBytes) {
  const AllocationLog log =
      parse(kHeader + "1,t,allocate,(nil),0,0\n1,t,allocate,0x0,0,0\n1,t,free,(nil),0,0\n");
  EXPECT_EQ(log.entries, 3U);
  EXPECT_TRUE(log.events.empty());
  EXPECT_THAT(refused("1,t,allocate,(nil),8,0\n").message,
              HasSubstr("expected an address other than null in line 2, found \"(nil)\""));
}

TEST(RmmCsv, SaysWhichFieldOfWhichLineIsWrong) {
  const std::string good = "1,t,allocate,0x10,8,0\n";
  const auto refused_field = [&](const std::string& line) { return refused(good + line).message; };
  EXPECT_THAT(refused_field("1,t,allocate,0x20,8\n"),
              HasSubstr("expected 6 fields with commas between in line 3"));
  EXPECT_THAT(refused_field("1,t,allocate,0x20,8,0,0\n"), HasSubstr("6 fields"));
  EXPECT_THAT(refused_field("\n"), HasSubstr("6 fields with commas between in line 3, found \"\""));
  EXPECT_THAT(refused_field("x,t,allocate,0x20,8,0\n"), HasSubstr("a thread as a decimal number in line 3"));
  EXPECT_THAT(refused_field("-1,t,allocate,0x20,8,0\n"), HasSubstr("found \"-1\""));
  EXPECT_THAT(refused_field(",t,allocate,0x20,8,0\n"), HasSubstr("a thread as a decimal number"));
  EXPECT_THAT(refused_field("99999999999999999999,t,allocate,0x20,8,0\n"), HasSubstr("a thread"));
  EXPECT_THAT(refused_field("1,t,allocated,0x20,8,0\n"),
              HasSubstr("allocate, free or allocate failure in line 3, found \"allocated\""));
  EXPECT_THAT(refused_field("1,t,allocate,0x,8,0\n"), HasSubstr("a pointer as a hexadecimal number"));
  EXPECT_THAT(refused_field("1,t,allocate,0x0x2,8,0\n"), HasSubstr("a pointer"));
  EXPECT_THAT(refused_field("1,t,allocate,0x11111111111111111,8,0\n"), HasSubstr("a pointer"));
  EXPECT_THAT(refused_field("1,t,allocate,0x20,8.5,0\n"), HasSubstr("a size as a decimal number"));
  EXPECT_THAT(refused_field("1,t,allocate,0x20,281474976710656,0\n"), HasSubstr("a size below 2^48 bytes"));
  EXPECT_THAT(refused_field("1,t,allocate,0x20,18446744073709551616,0\n"), HasSubstr("a size"));
  EXPECT_THAT(refused_field("1,t,allocate,0x20,8,\n"), HasSubstr("a stream as a hexadecimal number"));
  EXPECT_THAT(refused_field("1,t,allocate,0x20,8,\x1b[31m\n"), HasSubstr("\\x1b[31m"));
  EXPECT_EQ(refused(good + "1,t,allocate,0x20,x,0\n").offset, kHeader.size() + good.size() + 18);
}

TEST(RmmCsv, NeedsItsFirstLineAndAnEvent) {
  const auto of = [](const std::string& content) { return refusal_of([&] { parse(content); }).message; };
  EXPECT_THAT(of("Thread,Time,Action\n"), HasSubstr("Action,Pointer,Size,Stream\" in line 1, found"));
  EXPECT_THAT(of(kHeader), HasSubstr("expected events after the first line, found the end of the file"));
  EXPECT_THAT(of(""), HasSubstr("expected the end of line 1, found the end of the file"));
}

TEST(RmmCsv, CutOffAnywhereIsRefusedOrEndsAtALine) {
  const std::string lines = "1,t,allocate,0x10,8,0\n1,t,allocate,0x20,8,0\n1,t,free,0x10,8,0\n";
  const std::string content = kHeader + lines;
  for (std::size_t size = 0; size < content.size(); ++size) {
    const std::string cut = content.substr(0, size);
    const bool whole_lines = size > kHeader.size() && cut.back() == '\n';
    AllocationLog log;
    const Refusal refusal = refusal_of([&] { log = parse(cut); });
    EXPECT_EQ(refusal.message == "(accepted)", whole_lines) << size << ": " << refusal.message;
    EXPECT_EQ(log.entries, whole_lines ? (size - kHeader.size()) / 22 : 0) << size;
  }
}

}  // namespace
}  // namespace millrace::tool
