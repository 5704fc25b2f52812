// Pages come before they are read and go after it.
#include "mapped_pages.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include "format_support.h"
#include "formats/mapped_file.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kBytes = 4 << 20;

/// How many bytes of the mapping this process has in its page tables.
std::size_t resident(std::span<const std::byte> mapping) {
  std::ifstream smaps("/proc/self/smaps");
  const auto first = reinterpret_cast<std::uintptr_t>(mapping.data());
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = begin <= first && first < end;
    std::size_t kib = 0;
    if (inside && std::sscanf(line.c_str(), "Rss: %zu kB", &kib) == 1) return kib << 10;
  }
  return 0;
}

TEST(MappedPages, ComeAndGo) {
  const TemporaryFolder folder;
  const MappedFile file(folder.file("pages", std::string(kBytes, 'x')));
  EXPECT_EQ(resident(file.bytes()), 0U);
  populate(file.bytes(), 1 << 20, 1 << 20);
  if (resident(file.bytes()) == 0) GTEST_SKIP() << "this kernel has no MADV_POPULATE_READ (Linux 5.14)";
  EXPECT_GE(resident(file.bytes()), std::size_t{1} << 20);
  EXPECT_LT(resident(file.bytes()), kBytes);
  drop(file.bytes(), 1 << 20, 1 << 20);
  EXPECT_EQ(resident(file.bytes()), 0U);
}

TEST(MappedPages, NothingStaysAtUnevenCuts) {
  const TemporaryFolder folder;
  const MappedFile file(folder.file("pages", std::string(kBytes + 77, 'x')));
  constexpr std::uint64_t kStep = 100'003;
  std::uint64_t sum = 0;
  for (std::uint64_t at = 0; at < file.bytes().size(); at += kStep) {
    const std::uint64_t n = std::min(kStep, file.bytes().size() - at);
    read_ahead(file, at, n);
    for (const std::byte b : file.bytes().subspan(at, n)) sum += std::to_integer<std::uint64_t>(b);
    drop(file.bytes(), at, n);
    EXPECT_EQ(resident(file.bytes()), 0U) << "at " << at;
  }
  EXPECT_EQ(sum, (kBytes + 77) * std::uint64_t{'x'});
}

TEST(MappedPages, RangesPastTheEndAreLeftOut) {
  const TemporaryFolder folder;
  const MappedFile file(folder.file("pages", std::string(100, 'x')));
  populate(file.bytes(), 100, 1);
  populate(file.bytes(), std::uint64_t{1} << 60, std::uint64_t{1} << 62);
  EXPECT_EQ(resident(file.bytes()), 0U);
  populate(file.bytes(), 99, std::uint64_t{1} << 62);
  drop(file.bytes(), 0, std::uint64_t{1} << 62);
  EXPECT_EQ(resident(file.bytes()), 0U);
}

}  // namespace
}  // namespace millrace::tool
