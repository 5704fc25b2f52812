#include "byte_size.h"

#include <gtest/gtest.h>

namespace millrace::tool {
namespace {

TEST(ByteSize, ReadsEveryUnit) {
  EXPECT_EQ(parse_byte_size("4096"), 4096U);
  EXPECT_EQ(parse_byte_size("4096b"), 4096U);
  EXPECT_EQ(parse_byte_size("64MiB"), 64U << 20U);
  EXPECT_EQ(parse_byte_size("64 mib"), 64U << 20U);
  EXPECT_EQ(parse_byte_size("64M"), 64U << 20U);
  EXPECT_EQ(parse_byte_size("1GiB"), 1U << 30U);
  EXPECT_EQ(parse_byte_size("1.5K"), 1536U);
  EXPECT_EQ(parse_byte_size("500MB"), 500'000'000U);
  EXPECT_EQ(parse_byte_size("2TB"), 2'000'000'000'000U);
}

TEST(ByteSize, RefusesEverythingElse) {
  for (const char* const text :
       {"", "MiB", "-1", "1e3", "1XB", "1MiBs", "0x10", "nan", "inf", "1 2", "9999999999TiB"}) {
    EXPECT_EQ(parse_byte_size(text), std::nullopt) << text;
  }
}

TEST(ByteSize, IsWrittenShort) {
  EXPECT_EQ(format_byte_size(0), "0 B");
  EXPECT_EQ(format_byte_size(1023), "1023 B");
  EXPECT_EQ(format_byte_size(1024), "1 KiB");
  EXPECT_EQ(format_byte_size(1536), "1.5 KiB");
  EXPECT_EQ(format_byte_size(std::uint64_t{3} << 40U), "3 TiB");
  EXPECT_EQ(format_byte_size((1U << 20U) - 1), "1 MiB") << "not 1024 KiB";
}

TEST(ByteSize, CountsHaveCommas) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(1234567), "1,234,567");
}

}  // namespace
}  // namespace millrace::tool
