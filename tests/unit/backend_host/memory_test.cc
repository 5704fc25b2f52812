// Reserving, committing and protecting the host's memory.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "backends/host/backend.h"
#include "backends/host/machine.h"
#include "unit/backend_host/fake_sink.h"

namespace millrace::host {
namespace {

constexpr std::size_t kGranule = Memory::kGranule;

char* at(void* base, std::size_t offset) {
  return static_cast<char*>(base) + offset;
}

ErrorCode code(const Status& status) {
  return status.ok() ? ErrorCode::TimedOut : status.error().code();
}

/// Can the byte be read? Asked of the system, which does not fault.
bool readable(const void* address) {
  int ends[2];
  if (pipe(ends) != 0) return false;
  const bool can = write(ends[1], address, 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return can;
}

TEST(HostMemory, CommitAndDecommit) {
  Memory memory("host:0");
  void* base = nullptr;
  ASSERT_TRUE(memory.reserve(8 * kGranule, &base).ok());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(base) % kGranule, 0u);
  EXPECT_FALSE(readable(base));
  ASSERT_TRUE(memory.commit(at(base, kGranule), 2 * kGranule).ok());
  EXPECT_EQ(memory.committed_bytes(), 2 * kGranule);
  EXPECT_FALSE(readable(base));
  EXPECT_FALSE(readable(at(base, 3 * kGranule)));
  *at(base, kGranule) = 7;
  *at(base, 3 * kGranule - 1) = 8;
  memory.decommit(at(base, kGranule), kGranule);
  EXPECT_EQ(memory.committed_bytes(), kGranule);
  EXPECT_FALSE(readable(at(base, kGranule)));
  EXPECT_EQ(*at(base, 3 * kGranule - 1), 8);
  ASSERT_TRUE(memory.commit(at(base, kGranule), kGranule).ok());
  EXPECT_EQ(*at(base, kGranule), 0) << "the pages must have gone back";
  EXPECT_TRUE(memory.contains(at(base, 8 * kGranule - 1)));
  EXPECT_FALSE(memory.contains(at(base, 8 * kGranule)));
  EXPECT_FALSE(memory.contains(&memory));
  memory.release(base, 8 * kGranule);
  EXPECT_EQ(memory.committed_bytes(), 0u);
  EXPECT_FALSE(memory.contains(base));
  EXPECT_FALSE(readable(at(base, 2 * kGranule)));
}

TEST(HostMemory, RefusesWhatADriverWould) {
  Memory memory("host:0");
  void* base = nullptr;
  EXPECT_EQ(code(memory.reserve(0, &base)), ErrorCode::InvalidArgument);
  EXPECT_EQ(code(memory.reserve(kGranule + 1, &base)), ErrorCode::InvalidArgument);
  EXPECT_EQ(base, nullptr);
  ASSERT_TRUE(memory.reserve(4 * kGranule, &base).ok());
  EXPECT_EQ(code(memory.commit(at(base, 1), kGranule)), ErrorCode::InvalidArgument);
  EXPECT_EQ(code(memory.commit(base, 1)), ErrorCode::InvalidArgument);
  EXPECT_EQ(code(memory.commit(base, 0)), ErrorCode::InvalidArgument);
  EXPECT_EQ(code(memory.commit(base, 5 * kGranule)), ErrorCode::InvalidArgument);
  EXPECT_EQ(code(memory.commit(at(base, 4 * kGranule), kGranule)), ErrorCode::InvalidArgument);
  ASSERT_TRUE(memory.commit(at(base, kGranule), kGranule).ok());
  EXPECT_EQ(code(memory.commit(base, 2 * kGranule)), ErrorCode::InvalidState) << "one is committed already";
  EXPECT_EQ(memory.committed_bytes(), kGranule);
  EXPECT_FALSE(readable(base)) << "a refused commit must change nothing";
  memory.decommit(base, 4 * kGranule);
  memory.decommit(base, 4 * kGranule);
  EXPECT_EQ(memory.committed_bytes(), 0u);
  memory.release(at(base, kGranule), kGranule);
  EXPECT_TRUE(memory.contains(base)) << "not a reservation: ignored";
}

TEST(HostMemory, SaysWhyItHasNone) {
  Memory memory("host:0");
  void* base = nullptr;
  const Status status = memory.reserve(std::size_t{1} << 60, &base);
  ASSERT_EQ(code(status), ErrorCode::OutOfMemory);
  EXPECT_NE(status.error().message().find("1152921504606846976"), std::string::npos)
      << status.error().message();
  EXPECT_NE(status.error().message().find("annot allocate memory"), std::string::npos)
      << status.error().message();
  EXPECT_EQ(code(memory.reserve(SIZE_MAX / kGranule * kGranule, &base)), ErrorCode::OutOfMemory);
}

class PagesTest : public testing::Test {
 protected:
  static constexpr std::size_t kPages = 64;
  void SetUp() override {
    ASSERT_TRUE(memory_.reserve(kGranule, &base_).ok());
    ASSERT_TRUE(memory_.commit(base_, kGranule).ok());
  }
  char* page(std::size_t i) { return at(base_, i * page_); }

  const std::size_t page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  Memory memory_{"host:0"};
  void* base_ = nullptr;
};

TEST_F(PagesTest, ClosesWholePagesOnly) {
  Pages pages(100);
  pages.close(page(1) + 1, 3 * page_);  // wholly inside: 2 and 3
  EXPECT_TRUE(readable(page(1)));
  EXPECT_FALSE(readable(page(2)));
  EXPECT_FALSE(readable(page(3)));
  EXPECT_TRUE(readable(page(4)));
  pages.close(page(5), page_ - 1);
  EXPECT_TRUE(readable(page(5)));
  pages.open(page(3) + 10, 1);  // every page it touches
  EXPECT_FALSE(readable(page(2)));
  *page(3) = 1;
  EXPECT_EQ(pages.ranges(), 1u);
  pages.open(page(0), 10 * page_);
  *page(2) = 1;
  EXPECT_EQ(pages.ranges(), 0u);
}

TEST_F(PagesTest, StaysWithinTheBudget) {
  Pages pages(2);
  for (std::size_t i = 0; i < 8; i += 2) pages.close(page(i), page_);
  EXPECT_EQ(pages.ranges(), 2u);
  EXPECT_FALSE(readable(page(2)));
  EXPECT_TRUE(readable(page(4)));
  pages.close(page(1), page_);  // joins the two: costs nothing
  EXPECT_EQ(pages.ranges(), 1u);
  pages.close(page(6), page_);
  EXPECT_FALSE(readable(page(6)));
}

TEST_F(PagesTest, AgreesWithASetOfPages) {
  Pages pages(1000);
  std::mt19937 random(5);
  std::set<std::size_t> closed;
  for (int step = 0; step < 2000; ++step) {
    const std::size_t begin = random() % kPages;
    const std::size_t count = 1 + random() % 6;
    const bool close = random() % 2 == 0;
    close ? pages.close(page(begin), count * page_) : pages.open(page(begin), count * page_);
    for (std::size_t i = begin; i < begin + count; ++i)
      close ? (void)closed.insert(i) : (void)closed.erase(i);
    std::size_t ranges = 0;
    for (const std::size_t i : closed) ranges += closed.count(i + 1) == 0 ? 1u : 0u;
    ASSERT_EQ(pages.ranges(), ranges) << step;
    const std::size_t probe = random() % kPages;
    ASSERT_EQ(readable(page(probe)), closed.count(probe) == 0) << step;
  }
}

TEST(HostMemory, DecommitForgetsClosedPages) {
  DeviceOptions options;
  options.protect = true;
  options.workers = 1;
  FakeSink sink;
  HostBackend backend(0, options);
  ASSERT_TRUE(backend.start(1, sink).ok());
  void* base = nullptr;
  ASSERT_TRUE(backend.reserve(2 * kGranule, &base).ok());
  ASSERT_TRUE(backend.commit(base, 2 * kGranule).ok());
  backend.set_accessible(base, kGranule, false);
  EXPECT_FALSE(readable(base));
  EXPECT_TRUE(readable(at(base, kGranule)));
  backend.decommit(base, kGranule);
  ASSERT_TRUE(backend.commit(base, kGranule).ok());
  EXPECT_TRUE(readable(base));
  backend.set_accessible(base, kGranule, false);
  backend.set_accessible(base, 512, true);
  EXPECT_TRUE(readable(base));
  EXPECT_FALSE(readable(at(base, kGranule / 2)));
  backend.release(base, 2 * kGranule);
  backend.stop();
}

TEST(HostMemory, WithoutProtectEverythingStaysAccessible) {
  HostBackend backend(0, DeviceOptions());
  void* base = nullptr;
  ASSERT_TRUE(backend.reserve(kGranule, &base).ok());
  ASSERT_TRUE(backend.commit(base, kGranule).ok());
  backend.set_accessible(base, kGranule, false);
  EXPECT_TRUE(readable(base));
  EXPECT_EQ(backend.committed_bytes(), kGranule);
}

class Groups : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-groups-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ + path).substr(0, (root_ + path).rfind('/')));
    std::ofstream(root_ + path) << text << "\n";
  }
  std::string root_;
};

TEST_F(Groups, TheSmallestLimitBinds) {
  EXPECT_EQ(cgroup_memory_limit("0::/a/b\n", root_), SIZE_MAX);
  put("/a/b/memory.max", "max");
  EXPECT_EQ(cgroup_memory_limit("0::/a/b\n", root_), SIZE_MAX);
  put("/a/memory.max", "1048576");
  EXPECT_EQ(cgroup_memory_limit("0::/a/b\n", root_), 1048576u);
  EXPECT_EQ(cgroup_memory_limit("0::/\n", root_), SIZE_MAX);
  put("/memory/c/memory.limit_in_bytes", "4096");
  EXPECT_EQ(cgroup_memory_limit("5:cpu,memory:/c\n1:name=systemd:/c\n0::/a\n", root_), 4096u);
  EXPECT_EQ(cgroup_memory_limit("no colons\n\n:\n", root_), SIZE_MAX);
  EXPECT_GT(machine_memory(), 0u);
  EXPECT_GT(mapping_limit(), 1000u);
}

}  // namespace
}  // namespace millrace::host
