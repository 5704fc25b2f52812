// Faults on purpose: they strike where they are to, and nowhere else.
#include "faults.h"

#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#include <gtest/gtest.h>

namespace millrace::tool {
namespace {

constexpr FaultRates kAlways{.allocations = 1, .threads = 1, .mappings = 1};

/// Out of line, so that no compiler leaves the allocation out.
[[gnu::noinline]] std::unique_ptr<int> make() {
  return std::make_unique<int>(1);
}

bool allocates(const std::shared_ptr<Faults>& faults) {
  try {
    const FaultsHere scope(faults);
    return make() != nullptr;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

TEST(Faults, AllocationsFailInTheScopeAlone) {
  const auto faults = std::make_shared<Faults>(kAlways, 1);
  EXPECT_FALSE(allocates(faults));
  EXPECT_NE(make(), nullptr);
  faults->turn(false);
  EXPECT_TRUE(allocates(faults));
  EXPECT_EQ(faults->refused(Fault::allocation), 1U);
}

TEST(Faults, AlignedAllocationsFailToo) {
  struct alignas(64) Line {
    char bytes[64];
  };
  const auto faults = std::make_shared<Faults>(kAlways, 1);
  const FaultsHere scope(faults);
  EXPECT_THROW(delete new Line, std::bad_alloc);
}

TEST(Faults, AreNotTheTestsOwnInsideACallback) {
  const auto faults = std::make_shared<Faults>(kAlways, 1);
  const FaultsHere scope(faults);
  {
    const NoFaultsHere own;
    EXPECT_NE(make(), nullptr);
  }
  EXPECT_THROW(make(), std::bad_alloc);
}

TEST(Faults, ThreadsAreRefused) {
  const auto faults = std::make_shared<Faults>(FaultRates{.threads = 1}, 1);
  const FaultsHere scope(faults);
  try {
    std::thread([] {}).join();
    FAIL() << "a thread was made";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::resource_unavailable_try_again);
  }
  EXPECT_EQ(faults->refused(Fault::thread), 1U);
}

TEST(Faults, ThreadsThatBeginAmongThemKeepThem) {
  const auto faults = std::make_shared<Faults>(FaultRates{.allocations = 1}, 1);
  faults->turn(false);
  bool refused = false;
  std::thread inside;
  {
    const FaultsHere scope(faults);
    inside = std::thread([&] {
      faults->turn(true);
      try {
        make();
      } catch (const std::bad_alloc&) {
        refused = true;
      }
      faults->turn(false);
    });
  }
  inside.join();
  EXPECT_TRUE(refused);
}

TEST(Faults, MappingsAreRefusedWhereTheyMakePagesWritable) {
  constexpr std::size_t kPage = 4096;
  void* const pages = mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  const auto faults = std::make_shared<Faults>(FaultRates{.mappings = 1}, 1);
  {
    const FaultsHere scope(faults);
    EXPECT_EQ(mprotect(pages, kPage, PROT_READ), 0);
    EXPECT_EQ(mprotect(pages, kPage, PROT_READ | PROT_WRITE), -1);
    EXPECT_EQ(errno, ENOMEM);
  }
  EXPECT_EQ(mprotect(pages, kPage, PROT_READ | PROT_WRITE), 0);
  munmap(pages, kPage);
}

TEST(Faults, ComeAsOftenAsTheRateSays) {
  const auto faults = std::make_shared<Faults>(FaultRates{.allocations = 8}, 3);
  for (int i = 0; i < 8000; ++i) static_cast<void>(allocates(faults));
  EXPECT_EQ(faults->asked(Fault::allocation), 8000U);
  EXPECT_GT(faults->refused(Fault::allocation), 800U);
  EXPECT_LT(faults->refused(Fault::allocation), 1200U);
}

}  // namespace
}  // namespace millrace::tool
