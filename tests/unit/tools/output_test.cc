// Where tables for programs go, and what they look like.
#include "csv.h"

#include <cstdlib>

#include "format_support.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

TEST(Csv, QuotesWhatNeedsIt) {
  EXPECT_EQ(csv_line({"a", "", "b c"}), "a,,b c\r\n");
  EXPECT_EQ(csv_line({"[1, 2]", "say \"x\"", "two\nlines"}),
            "\"[1, 2]\",\"say \"\"x\"\"\",\"two\nlines\"\r\n");
}

TEST(Csv, NumbersKeepTheirBits) {
  for (const double value : {0.1, 1.0 / 3, -2.5e-308, 1e300, 0.0}) {
    EXPECT_EQ(std::strtod(csv_number(value).c_str(), nullptr), value);
  }
  EXPECT_EQ(csv_number(0.1), "0.10000000000000001");
}

TEST(OutputFile, KeepsWhatAFileHeldUntilItBegins) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out", "before, and longer");
  const auto content = [&] {
    std::ifstream in(path);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  };
  OutputFile out("--csv", path);
  EXPECT_EQ(content(), "before, and longer");
  out.begin();
  out.write("after");
  out.end();
  EXPECT_EQ(content(), "after");
}

TEST(OutputFile, NamesTheOptionWhoseFileCannotBeWritten) {
  try {
    OutputFile("--csv", "/proc/none/such");
    FAIL() << "nothing was thrown";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("--csv: cannot write /proc/none/such: "));
  }
}

}  // namespace
}  // namespace millrace::tool
