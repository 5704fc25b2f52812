// Memory for streams that others made, where the host has none to remember a use by.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

#include "backends/cuda/driver.h"
#include "faults.h"
#include "support/can_take.h"
#include "support/eventually.h"
#include "support/fake_cuda.h"
#include "support/owned_stream.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// A function of the driver that is refused nothing: its memory is not what is under test, and it could not
/// say so.
template <auto function>
struct Spared;
template <typename Result, typename... Arguments, Result (*cuda::Driver::*function)(Arguments...)>
struct Spared<function> {
  static inline Result (*real)(Arguments...) = nullptr;
  static Result call(Arguments... arguments) {
    const tool::NoFaultsHere spared;
    return real(arguments...);
  }
  static void install(cuda::Driver& driver) {
    real = driver.*function;
    driver.*function = &call;
  }
};

class NativeMemoryFaults : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    install_fake_cuda();
    static cuda::Driver driver = cuda::driver();
    Spared<&cuda::Driver::event_create>::install(driver);
    Spared<&cuda::Driver::event_record>::install(driver);
    Spared<&cuda::Driver::stream_wait_event>::install(driver);
    cuda::replace_driver(driver);
  }

  NativeMemoryFaults() {
    // So that what is freed on it needs a use to be remembered, and not the stream to be wrapped.
    memory_.deallocate(second_.get(), memory_.allocate(second_.get(), 100));
  }
  void* allocate() { return memory_.allocate(first_.get(), 48 * kMiB); }
  /// On the stream that it is not of, refused one allocation in so many.
  void free(std::uint32_t rate, void* block) {
    const auto faults = std::make_shared<tool::Faults>(tool::FaultRates{.allocations = rate}, ++seed_);
    {
      const tool::FaultsHere scope(faults);
      memory_.deallocate(second_.get(), block);
    }
    refused_ += faults->refused(tool::Fault::allocation);
  }
  bool can_take() { return test::can_take(device_, 48 * kMiB); }

  // Long enough for a watcher's thread on a busy machine to hand memory back.
  Device device_ = Device::create(
      "cuda:0", {.memory_limit = 64 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(100)});
  OwnedStream first_, second_;  // after what wraps them
  NativeAllocator memory_{device_};
  std::uint64_t seed_ = 0;
  std::uint64_t refused_ = 0;
};

// Whoever frees can't be told, and the block must not be lost.
TEST_F(NativeMemoryFaults, EveryFreeIsDone) {
  for (const std::uint32_t rate : {1U, 2U, 3U}) {
    for (int i = 0; i < 20; ++i) {
      free(rate, allocate());
      ASSERT_TRUE(eventually([&] { return can_take(); })) << rate << ' ' << i;
    }
  }
  EXPECT_GT(refused_, 20U);
  device_.check_accounting();
}

TEST_F(NativeMemoryFaults, SoAreThoseOfAThreadsFirstCall) {
  for (const std::uint32_t rate : {1U, 2U, 3U, 10U}) {
    for (int i = 0; i < 20; ++i) {
      void* const block = allocate();
      std::thread([&] { free(rate, block); }).join();
      ASSERT_TRUE(eventually([&] { return can_take(); })) << rate << ' ' << i;
    }
  }
  EXPECT_GT(refused_, 20U);
  device_.check_accounting();
}

TEST_F(NativeMemoryFaults, TheStreamIsWaitedFor) {
  void* const block = allocate();
  second_.hold();
  std::atomic<bool> opened{false};
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    opened = true;
    second_.open();
  });
  free(1, block);
  EXPECT_TRUE(opened);
  opener.join();
  EXPECT_TRUE(can_take());
}

}  // namespace
}  // namespace millrace::test
