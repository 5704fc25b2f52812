// Faults on purpose: they strike where they are to, and nowhere else.
#include "faults.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
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

/// Is it refused what it asks for? Nothing else is, messages of the test's among it.
template <typename Allocate>
bool is_refused(const std::shared_ptr<Faults>& faults, Allocate allocate) {
  try {
    const FaultsHere scope(faults);
    return allocate() == nullptr;
  } catch (const std::bad_alloc&) {
    return true;
  }
}

constexpr std::align_val_t kAligned{64};

TEST(Faults, EveryFormOfNewIsRefusedOnce) {
  const auto faults = std::make_shared<Faults>(kAlways, 1);
  EXPECT_TRUE(is_refused(faults, [] { return ::operator new(8); }));
  EXPECT_TRUE(is_refused(faults, [] { return ::operator new[](8); }));
  EXPECT_TRUE(is_refused(faults, [] { return ::operator new(8, kAligned); }));
  EXPECT_TRUE(is_refused(faults, [] { return ::operator new[](8, kAligned); }));
  EXPECT_TRUE(is_refused(faults, []() noexcept { return ::operator new(8, std::nothrow); }));
  EXPECT_TRUE(is_refused(faults, []() noexcept { return ::operator new[](8, std::nothrow); }));
  EXPECT_TRUE(is_refused(faults, []() noexcept { return ::operator new(8, kAligned, std::nothrow); }));
  EXPECT_TRUE(is_refused(faults, []() noexcept { return ::operator new[](8, kAligned, std::nothrow); }));
  EXPECT_EQ(faults->asked(Fault::allocation), 8U);
  EXPECT_EQ(faults->refused(Fault::allocation), 8U);
}

TEST(Faults, WhatIsNotRefusedIsAskedForOnceAndGoesToItsOwnDelete) {
  const auto faults = std::make_shared<Faults>(FaultRates{.allocations = UINT32_MAX}, 1);
  {
    const FaultsHere scope(faults);
    ::operator delete(::operator new(8));
    ::operator delete[](::operator new[](8));
    ::operator delete(::operator new(8, kAligned), kAligned);
    ::operator delete[](::operator new[](8, kAligned), kAligned);
    ::operator delete(::operator new(8, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](8, std::nothrow), std::nothrow);
    ::operator delete(::operator new(8, kAligned, std::nothrow), kAligned, std::nothrow);
    ::operator delete[](::operator new[](8, kAligned, std::nothrow), kAligned, std::nothrow);
  }
  EXPECT_EQ(faults->asked(Fault::allocation), 8U);
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

/// What a thread's hook found when the thread ended, in each round of hooks.
struct AtExit {
  static constexpr int kRounds = 2;
  pthread_key_t key{};
  int rounds = 0;
  int refused = 0;

  static void hook(void* raw) {
    auto* const mine = static_cast<AtExit*>(raw);
    try {
      make();
    } catch (const std::bad_alloc&) {
      ++mine->refused;
    }
    if (++mine->rounds < kRounds) pthread_setspecific(mine->key, mine);
  }
};

TEST(Faults, MeetTheHooksOfThreadsThatBeginAmongThem) {
  AtExit seen;
  ASSERT_EQ(pthread_key_create(&seen.key, &AtExit::hook), 0);
  const auto faults = std::make_shared<Faults>(FaultRates{.allocations = 1}, 1);
  faults->turn(false);
  std::thread inside;
  {
    const FaultsHere scope(faults);
    inside = std::thread([&] {
      pthread_setspecific(seen.key, &seen);
      faults->turn(true);
    });
  }
  inside.join();
  pthread_key_delete(seen.key);
  EXPECT_EQ(seen.refused, AtExit::kRounds);
  EXPECT_EQ(faults.use_count(), 1) << "the thread has ended and keeps the faults";
}

TEST(Faults, MeetTheHooksOfThreadsThatAskForThem) {
  AtExit seen;
  ASSERT_EQ(pthread_key_create(&seen.key, &AtExit::hook), 0);
  const auto faults = std::make_shared<Faults>(kAlways, 1);
  std::thread([&] {
    faults_until_exit(faults);
    const NoFaultsHere own;
    EXPECT_NE(make(), nullptr);
    pthread_setspecific(seen.key, &seen);
  }).join();
  pthread_key_delete(seen.key);
  EXPECT_EQ(seen.refused, AtExit::kRounds);
  EXPECT_EQ(faults.use_count(), 1) << "the thread has ended and keeps the faults";
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
