// Files that are read from anywhere, cached or not, and what they say when they can't be.
#include "formats/opened_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "format_support.h"

namespace millrace::tool {
namespace {

std::string numbers(std::size_t count) {
  std::string content;
  for (std::size_t i = 0; i < count; ++i) content += little_endian(i, 4);
  return content;
}

TEST(OpenedFile, ReadsAnyRangeWhetherItIsCachedOrNot) {
  const TemporaryFolder folder;
  const std::string content = numbers(1 << 20);
  const OpenedFile file(folder.file("numbers", content));
  std::vector<std::byte> read(content.size());
  for (const bool cached : {true, false}) {
    for (const std::size_t offset : {std::size_t{0}, std::size_t{4097}, content.size() - 3}) {
      if (!cached) {
        // Where the file system keeps its files in memory that changes nothing.
        ASSERT_EQ(::fdatasync(file.descriptor()), 0);
        ASSERT_EQ(::posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED), 0);
      }
      const std::size_t bytes = std::min<std::size_t>(content.size() - offset, 3 << 20);
      file.read(offset, {read.data(), bytes});
      EXPECT_EQ(std::memcmp(read.data(), content.data() + offset, bytes), 0) << offset << ", " << cached;
    }
  }
  file.read(content.size(), {});
}

TEST(OpenedFile, SaysWhereAFileThatHasShrunkEnds) {
  const TemporaryFolder folder;
  const std::string path = folder.file("short", std::string(10000, 'x'));
  const OpenedFile file(path);
  std::filesystem::resize_file(path, 6000);
  std::vector<std::byte> read(5000);
  const Refusal refusal = refusal_of([&] { file.read(5000, read); });
  EXPECT_EQ(refusal.offset, 6000U);
  EXPECT_THAT(refusal.message, ::testing::HasSubstr("4000 more bytes"));
  EXPECT_THAT(refusal.message, ::testing::HasSubstr("has shrunk"));
}

TEST(OpenedFile, RefusesWhatIsNoFileOrAnotherOne) {
  const TemporaryFolder folder;
  EXPECT_THAT(refusal_of([&] { OpenedFile(folder.path("nothing")); }).message,
              ::testing::HasSubstr("a readable file"));
  EXPECT_THAT(refusal_of([&] { OpenedFile(folder.path()); }).message, ::testing::HasSubstr("a folder"));
  EXPECT_THAT(refusal_of([&] { OpenedFile(folder.file("empty", "")); }).message,
              ::testing::HasSubstr("an empty file"));
  const std::string pipe = folder.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(refusal_of([&] { OpenedFile(std::string(pipe)); }).message, ::testing::HasSubstr("a pipe"));

  const std::string path = folder.file("file", "content");
  const FileIdentity before = OpenedFile(std::string(path)).identity();
  EXPECT_EQ(OpenedFile(path, before).identity(), before);
  std::ofstream(path, std::ios::app) << "more";
  EXPECT_THAT(refusal_of([&] { OpenedFile(path, before); }).message, ::testing::HasSubstr("changed since"));
}

}  // namespace
}  // namespace millrace::tool
