// What users hear when the device fails: each case in a process of its own, since such a failure stays.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "gpu/gpu_test.h"
#include "gpu/kernels.h"

namespace millrace::test {
namespace {

using Launch = cudaError_t (*)(cudaStream_t);

#define MUST(condition)                                                    \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
      std::_Exit(1);                                                       \
    }                                                                      \
  } while (false)

/// Whether the call throws DeviceLost with the driver's own word for what happened.
template <typename Call>
bool loses(Call&& call, const std::string& word) {
  try {
    call();
  } catch (const Error& error) {
    const std::string what = error.what();
    if (error.code() == ErrorCode::DeviceLost && what.find(word) != std::string::npos) return true;
    std::fprintf(stderr, "instead: %s\n", what.c_str());
    return false;
  }
  std::fprintf(stderr, "instead: nothing was thrown\n");
  return false;
}

/// Buffers, handlers and waiters of several streams, one of which runs a kernel that fails.
[[noreturn]] void lose_the_device(Launch launch, const char* word) {
  constexpr int kStreams = 6;
  Device device = Device::create("cuda:0");
  Stream bad = device.stream();
  const Buffer buffer = device.buffer(1 << 20);
  std::vector<StreamLease> leases;
  std::vector<CommandBuffer> buffers;
  std::atomic<int> failed = 0, told = 0;
  const auto hear = [&](const Completion& completion) {
    ++told;
    if (completion.status == BufferStatus::failed && completion.error) ++failed;
  };
  Event event = device.event();
  {
    const NativeRecorder native = bad.record_native();
    // The others are committed before it fails.
    MUST(launch_set(driver_stream(native), buffer.as<std::uint32_t>(), 256, 1, 200'000'000) == cudaSuccess);
    MUST(launch(driver_stream(native)) == cudaSuccess);
  }
  event.record(bad);
  bad.on_completed(hear);
  buffers.push_back(bad.commit());
  for (int i = 1; i < kStreams; ++i) {
    leases.push_back(device.lease());
    Stream stream = leases.back().stream();
    stream.wait_event(event);
    stream.fill(buffer.data(), 2, 4096);
    if (i % 2 == 0) stream.run("a host task", [] { MUST(!"it ran after the device was lost"); });
    stream.on_completed(hear);
    buffers.push_back(stream.commit());
  }
  std::vector<std::thread> waiters;
  std::atomic<int> lost = 0;
  for (CommandBuffer& each : buffers)
    waiters.emplace_back([&] { lost += loses([&] { each.wait(); }, word); });
  waiters.emplace_back([&] { lost += loses([&] { event.wait(); }, word); });
  waiters.emplace_back([&] { lost += loses([&] { bad.wait(); }, word); });
  for (std::thread& waiter : waiters) waiter.join();
  MUST(lost == kStreams + 2);
  try {
    device.synchronize();  // told already, or of a stream whose failure nobody has heard of
  } catch (const Error& error) {
    MUST(error.code() == ErrorCode::DeviceLost);
  }
  MUST(loses([&] { bad.fill(buffer.data(), 0, 64), bad.wait(); }, word));
  MUST(told == kStreams);
  MUST(failed == kStreams);
  device.close();
  std::_Exit(0);
}

class GpuFailures : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};

TEST_F(GpuFailures, AnIllegalAccessIsToldToEverybody) {
  EXPECT_EXIT(lose_the_device(launch_illegal_access, "CUDA_ERROR_ILLEGAL_ADDRESS"),
              testing::ExitedWithCode(0), "");
}

TEST_F(GpuFailures, AFailedLaunchIsToldToEverybody) {
  EXPECT_EXIT(lose_the_device(launch_trap, "CUDA_ERROR_LAUNCH_FAILED"), testing::ExitedWithCode(0), "");
}

TEST_F(GpuFailures, ARefusedLaunchHarmsNothing) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer buffer = device.buffer(4096);
  {
    const NativeRecorder native = stream.record_native();
    EXPECT_NE(launch_too_large(driver_stream(native)), cudaSuccess);
    EXPECT_EQ(launch_set(driver_stream(native), buffer.as<std::uint32_t>(), 1024, 5), cudaSuccess);
  }
  std::uint32_t back = 0;
  stream.copy(&back, buffer.as<std::uint32_t>() + 1023, 4);
  EXPECT_NO_THROW(stream.wait());
  EXPECT_EQ(back, 5U);
}

}  // namespace
}  // namespace millrace::test
