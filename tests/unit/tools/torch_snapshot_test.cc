// PyTorch's snapshots: which entries become events, and what is said of those that are not PyTorch's.
#include "formats/torch_snapshot.h"

#include <string>
#include <vector>

#include "format_support.h"
#include "formats/json_tree.h"

namespace millrace::tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<AllocationLog> parse(const std::string& content) {
  return parse_allocation_logs(bytes_of(content), "s.json");
}

Refusal refused(const std::string& content) {
  return refusal_of([&] { parse(content); });
}

std::string traces(const std::string& devices) {
  return R"({"segments":[],"device_traces":[)" + devices + "]}";
}

std::string entry(const std::string& action,
                  const std::string& rest = R"("addr":4096,"size":100,"stream":0)") {
  return R"({"action":")" + action + R"(",)" + rest + R"(,"frames":[{"name":"f","line":1}]})";
}

TEST(TorchSnapshot, TakesAllocationsAndRequestedFrees) {
  const std::string content =
      traces("[" + entry("segment_alloc") + "," + entry("alloc") + "," + entry("free_requested") + "," +
             entry("free_completed") + "," + entry("oom", R"("device_free":5,"size":1,"stream":0)") + "," +
             entry("alloc", R"("addr":18446744073709551615,"size":0,"stream":93824,"time_us":1.5)") + "," +
             entry("snapshot") + "," + entry("segment_free") + "," + entry("segment_map") + "," +
             entry("segment_unmap") + "]");
  const auto logs = parse(content);
  ASSERT_EQ(logs.size(), 1U);
  EXPECT_EQ(logs[0].name, "s.json");
  EXPECT_EQ(logs[0].format, "PyTorch JSON");
  EXPECT_EQ(logs[0].entries, 10U);
  EXPECT_EQ(logs[0].failures, 1U);
  EXPECT_EQ(logs[0].threads.size(), 1U);
  EXPECT_THAT(logs[0].streams, ElementsAre(0U, 93824U));
  const auto& events = logs[0].events;
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].action, LogAction::allocate);
  EXPECT_EQ(events[0].number, 2U);
  EXPECT_EQ(events[0].address, 4096U);
  EXPECT_EQ(events[0].bytes, 100U);
  EXPECT_EQ(content.at(events[0].at), '{');
  EXPECT_EQ(events[1].action, LogAction::release);
  EXPECT_EQ(events[2].stream, 1U);
  EXPECT_EQ(events[2].number, 6U);
}

TEST(TorchSnapshot, IsALogADevice) {
  const auto logs =
      parse(traces("[],[" + entry("alloc") + "],[],[" + entry("alloc") + "," + entry("alloc") + "]"));
  ASSERT_EQ(logs.size(), 2U);
  EXPECT_EQ(logs[0].name, "s.json device 1");
  EXPECT_EQ(logs[1].name, "s.json device 3");
  EXPECT_EQ(logs[1].path, "s.json");
  EXPECT_EQ(logs[1].events.size(), 2U);
}

TEST(TorchSnapshot, SaysWhatIsMissingOrOfTheWrongKind) {
  EXPECT_THAT(refused(R"({"segments":[]})").message, HasSubstr("expected the key device_traces, found none"));
  EXPECT_THAT(refused(R"({"device_traces":{}})").message,
              HasSubstr("a list of traces as device_traces, found a dict"));
  EXPECT_THAT(refused(traces("3")).message,
              HasSubstr("a list of events as a device's trace, found a whole number"));
  EXPECT_THAT(
      refused(traces("[],[]")).message,
      HasSubstr("expected events in device_traces, found none: torch.cuda.memory._record_memory_history()"));
  EXPECT_THAT(refused(traces("[null]")).message, HasSubstr("a dict as event 1, found None"));
  EXPECT_THAT(refused(traces("[{}]")).message, HasSubstr("expected action in event 1, found none"));
  EXPECT_THAT(refused(traces(R"([{"action":1}])")).message, HasSubstr("a string as action of event 1"));
  EXPECT_THAT(refused(traces("[" + entry("alloc\\n") + "]")).message,
              HasSubstr("an action of PyTorch in event 1, found \"alloc\\x0a\""));
  std::string keys = "{";
  for (int i = 0; i < 65; ++i) keys += "\"" + std::to_string(i) + "\":0" + (i < 64 ? "," : "}");
  EXPECT_THAT(refused(traces("[" + keys + "]")).message, HasSubstr("at most 64 keys in event 1, found 65"));
  const auto with = [&](const std::string& rest) {
    return refused(traces("[" + entry("snapshot") + "," + entry("alloc", rest) + "]")).message;
  };
  EXPECT_THAT(with(R"("size":1,"stream":0)"), HasSubstr("expected addr in event 2, found none"));
  EXPECT_THAT(with(R"("addr":1,"stream":0)"), HasSubstr("expected size in event 2"));
  EXPECT_THAT(with(R"("addr":1,"size":1)"), HasSubstr("expected stream in event 2"));
  EXPECT_THAT(with(R"("addr":-1,"size":1,"stream":0)"),
              HasSubstr("a whole number as addr of event 2, found a number"));
  EXPECT_THAT(with(R"("addr":1,"size":1.5,"stream":0)"), HasSubstr("a whole number as size of event 2"));
  EXPECT_THAT(with(R"("addr":1,"size":"1","stream":0)"), HasSubstr("found a string"));
  EXPECT_THAT(with(R"("addr":0,"size":1,"stream":0)"), HasSubstr("an address other than 0 in event 2"));
  EXPECT_THAT(with(R"("addr":1,"size":281474976710656,"stream":0)"),
              HasSubstr("a size below 2^48 bytes in event 2"));
  EXPECT_THAT(with(R"("addr":18446744073709551616,"size":1,"stream":0)"),
              HasSubstr("a whole number as addr"));
}

TEST(TorchSnapshot, RefusesWhatIsNoJson) {
  EXPECT_THAT(refused("{").message, HasSubstr("expected a JSON document, found text that is not"));
  EXPECT_THAT(refused(traces("[]") + "x").message, HasSubstr("text that is not"));
  EXPECT_EQ(refused(std::string("{}\0", 3)).offset, 2U);
  EXPECT_THAT(refused("{\"a\":" + std::string(1'000'000, '[')).message, HasSubstr("nested at most 64 deep"));
  const std::string whole = traces("[" + entry("alloc") + "]");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refused(whole.substr(0, size)).message, "(accepted)") << size;
  }
}

TEST(TorchSnapshot, NamesTheFormatsThatAreRead) {
  EXPECT_THAT(refused("hello").message,
              HasSubstr("expected an RMM log (a CSV file), or a PyTorch memory snapshot"));
  EXPECT_THAT(refused("").message, HasSubstr("an empty file"));
  EXPECT_THAT(refused("[1]").message, HasSubstr("found \"[1]\""));
}

TEST(TorchSnapshot, DoesNotFollowATraceAgainAndAgain) {
  // {'device_traces': [trace, trace]}, of one list that the memo names twice.
  const std::string event = std::string("}(") + "\x8c\x06" + "action" + "\x8c\x08" + "snapshotu";
  const std::string pickle = std::string("\x80\x04}") + "\x8c\x0d" + "device_traces" + "](]\x94" + event +
                             "a" + "h" + std::string(1, '\0') + "es.";
  const std::vector<std::byte> bytes = bytes_of(pickle);
  EXPECT_THAT(refusal_of([&] { parse_torch_pickle(bytes, "s.pickle"); }).message,
              HasSubstr("expected each trace once, found the same list again"));
}

}  // namespace
}  // namespace millrace::tool
