// The device has less than the limit says, since somebody else has the rest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "support/fake_cuda.h"
#include "support/held_stream.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kMiB = std::size_t{1} << 20, kGiB = std::size_t{1} << 30;
constexpr std::size_t kTotal = 4 * kGiB;

/// With and without memory that can be mapped.
class CudaPressure : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    install_fake_cuda(1, kTotal);
    set_fake_cuda_attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, GetParam() ? 1 : 0);
  }
  void TearDown() override { install_fake_cuda(); }

  /// What an allocation was refused with; nothing where it succeeded.
  static std::optional<OutOfMemoryError> refusal(Device& device, std::size_t bytes) {
    try {
      device.deallocate(device.allocate(bytes));
    } catch (const OutOfMemoryError& error) {
      return error;
    }
    return std::nullopt;
  }
};

TEST_P(CudaPressure, TheErrorSaysThatTheDeviceWasFullAndNotTheLimit) {
  Device device = Device::create("cuda:0", {.out_of_memory_wait = std::chrono::milliseconds(5)});
  const Buffer held = device.buffer(8 * kMiB);
  take_fake_cuda_memory(kTotal - 64 * kMiB);
  const std::optional<OutOfMemoryError> error = refusal(device, 100 * kMiB);
  ASSERT_TRUE(error);
  const OutOfMemoryReport& report = error->report();
  EXPECT_EQ(report.device_total, kTotal);
  EXPECT_EQ(report.device_free, 64 * kMiB - report.committed);
  EXPECT_LT(report.committed + 100 * kMiB, report.limit);
  EXPECT_THAT(report.refusal, HasSubstr("the driver answered"));
  EXPECT_THAT(error->what(), HasSubstr("It was not the limit"));
  EXPECT_THAT(error->what(), HasSubstr(std::to_string(kTotal)));
  EXPECT_THAT(error->what(), Not(HasSubstr("memory_limit")));
  EXPECT_FALSE(refusal(device, 32 * kMiB));
  device.check_accounting();
}

TEST_P(CudaPressure, TheErrorSpeaksOfTheLimitWhereThatWasReached) {
  Device device = Device::create(
      "cuda:0", {.memory_limit = 64 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(5)});
  const std::optional<OutOfMemoryError> error = refusal(device, 65 * kMiB);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->report().refusal, "");
  EXPECT_EQ(error->report().device_total, 0U);
  EXPECT_THAT(error->what(), HasSubstr("memory_limit"));
}

TEST_P(CudaPressure, WhatLiesEmptyIsGivenBackFirst) {
  Device device = Device::create("cuda:0");
  StreamLease other = device.lease();
  device.buffer(other.stream(), kGiB).reset();  // large blocks' memory, which small ones can't be cut from
  EXPECT_GE(device.memory().committed, kGiB);
  take_fake_cuda_memory(kTotal - kGiB - 64 * kMiB);
  std::vector<Buffer> small;
  for (std::size_t taken = 0; taken < 512 * kMiB; taken += kMiB) small.push_back(device.buffer(kMiB));
  device.check_accounting();
}

TEST_P(CudaPressure, PendingFreesAreWaitedFor) {
  Device device = Device::create("cuda:0", {.out_of_memory_wait = std::chrono::seconds(60)});
  StreamLease one = device.lease(), two = device.lease();
  void* const block = device.allocate(one.stream(), kGiB);
  take_fake_cuda_memory(kTotal - device.memory().committed - 16 * kMiB);
  StreamHold hold(two.stream());
  device.record_use(block, two.stream());
  device.deallocate(block);
  on_threads(2, [&](int number) {
    if (number == 0) {
      EXPECT_NO_THROW(device.buffer(two.stream(), 512 * kMiB));
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    hold.open();
  });
}

TEST_P(CudaPressure, TheCallbackMayFindRoomElsewhere) {
  int asked = 0;
  Device device = Device::create("cuda:0", {.on_out_of_memory =
                                                [&](std::size_t) {
                                                  ++asked;
                                                  take_fake_cuda_memory(0);
                                                  return true;
                                                },
                                            .out_of_memory_wait = std::chrono::milliseconds(5)});
  take_fake_cuda_memory(kTotal - 16 * kMiB);
  EXPECT_FALSE(refusal(device, kGiB));
  EXPECT_EQ(asked, 1);
}

TEST_P(CudaPressure, ThreadsGoOnWhenTheOthersHaveGone) {
  Device device = Device::create("cuda:0", {.out_of_memory_wait = std::chrono::milliseconds(1)});
  take_fake_cuda_memory(kTotal - 32 * kMiB);
  const auto work = [&](int) {
    for (int i = 0; i < 50; ++i) {
      std::vector<Buffer> held;
      try {
        for (int k = 0; k < 8; ++k) held.push_back(device.buffer((1 + (i + k) % 5) * kMiB));
      } catch (const OutOfMemoryError& error) {
        EXPECT_NE(error.report().refusal, "");
      }
    }
  };
  on_threads(8, work);
  EXPECT_LE(fake_cuda_memory(), 32 * kMiB);
  EXPECT_EQ(device.memory().committed, fake_cuda_memory());
  device.check_accounting();
  take_fake_cuda_memory(0);
  EXPECT_FALSE(refusal(device, kGiB));
}

INSTANTIATE_TEST_SUITE_P(Memory, CudaPressure, testing::Bool(),
                         [](const auto& given) { return given.param ? "Mapped" : "Segments"; });

}  // namespace
}  // namespace millrace::test
