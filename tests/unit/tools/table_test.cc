#include "table.h"

#include <gtest/gtest.h>

namespace millrace::tool {
namespace {

TEST(Table, AlignsColumns) {
  Table table({{"name"}, {"value", Align::right}});
  table.add({"a", "1"});
  table.add({"long name", "12345"});
  EXPECT_EQ(table.render(0, false),
            "name       value\n"
            "a              1\n"
            "long name  12345\n");
}

TEST(Table, CutsTheFirstColumnToTheTerminal) {
  Table table({{"tensor"}, {"mean", Align::right}});
  table.add({"encoder.layer.11.attention.self.query.weight", "0.125"});
  const std::string text = table.render(30, false);
  EXPECT_NE(text.find("enco"), std::string::npos) << text;
  EXPECT_NE(text.find("query.weight  0.125\n"), std::string::npos) << text;
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    EXPECT_LE(end - begin, 30U);
  }
}

TEST(Table, CountsCodePoints) {
  EXPECT_EQ(display_width("\xc3\xa9\xe2\x82\xac"), 2U);
  Table table({{"x"}, {"y"}});
  table.add({"\xc3\xa9\xc3\xa9", "1"});
  EXPECT_EQ(table.render(0, false), "x   y\n\xc3\xa9\xc3\xa9  1\n");
}

TEST(Table, ShowsWarningsInRed) {
  Table table({{"x"}, {"flags", Align::left, true}});
  table.add({"a", "NaN"});
  table.add({"b", ""});
  EXPECT_EQ(table.render(0, true), "x  flags\na  \033[31mNaN\033[0m\nb\n");
}

TEST(Shorten, KeepsBothEnds) {
  EXPECT_EQ(shorten("abcdef", 6), "abcdef");
  EXPECT_EQ(shorten("abcdefghijkl", 9), "ab...ijkl");
  EXPECT_EQ(shorten("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4), "...\xc3\xa9");
  EXPECT_EQ(shorten("abcdef", 2), "ab");
}

}  // namespace
}  // namespace millrace::tool
