// Thrust and CUB, with their memory from us, on a real device.
#include "gpu/cccl.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "gpu/gpu_test.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

class GpuCccl : public GpuTest {};

std::vector<std::uint32_t> random_numbers(Random& random) {
  std::vector<std::uint32_t> numbers(random.log_uniform(1, std::size_t{1} << 22));
  for (std::uint32_t& number : numbers) number = static_cast<std::uint32_t>(random.next());
  return numbers;
}

// A1: a block that another thread's algorithm still uses would spoil a result.
TEST_F(GpuCccl, ThrustAndCubFromManyThreads) {
  const std::uint64_t seed = seed_of_run();
  Device device = Device::create("cuda:0");
  {
    const cuda::resource memory(device);
    on_threads(8, [&](int number) {
      Random random(seed, static_cast<std::uint64_t>(number));
      ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
      cudaStream_t stream = nullptr;
      // Some wait for the default stream and some do not.
      ASSERT_EQ(
          cudaStreamCreateWithFlags(&stream, number % 2 == 0 ? cudaStreamNonBlocking : cudaStreamDefault),
          cudaSuccess);
      for (std::size_t round = 0; round < scaled(30, 3); ++round) {
        std::vector<std::uint32_t> numbers = random_numbers(random);
        ASSERT_EQ(cub_sum(memory, stream, numbers),
                  std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0}));
        const std::vector<std::uint32_t> sorted = thrust_sorted(memory, stream, numbers);
        std::sort(numbers.begin(), numbers.end());
        ASSERT_EQ(sorted, numbers);
      }
      cuda::resource(memory).forget(stream);
      ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    });
    EXPECT_EQ(device.memory().live, 0u);
    EXPECT_LE(device.streams().wrapped, 1);  // the default stream, which the vectors use
  }
  EXPECT_EQ(device.streams().wrapped, 0);
  device.check_accounting();
}

TEST_F(GpuCccl, MoreStreamsThanCanBeWrapped) {
  Device device = Device::create("cuda:0", {.wrapped_streams = 4});
  cuda::resource memory(device);
  for (int i = 0; i < 40; ++i) {
    cudaStream_t stream = nullptr;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cub_sum(memory, stream, {1, 2, 3}), 6u);
    ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  }
  EXPECT_LE(device.streams().wrapped, 4);
  EXPECT_EQ(device.memory().live, 0u);
}

// The driver's event behind one of ours, in a stream that is not ours, and the other way round.
TEST_F(GpuCccl, EventsOfTheDriver) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const Buffer buffer = device.buffer(kBytes), copy = device.buffer(kBytes);
  cudaStream_t foreign = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&foreign, cudaStreamNonBlocking), cudaSuccess);
  cudaEvent_t theirs = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&theirs, cudaEventDisableTiming), cudaSuccess);
  Event event = device.event();
  for (std::uint8_t round = 1; round < 50; ++round) {
    stream.fill(buffer.data(), round, kBytes);
    event.record(stream);
    stream.commit();
    ASSERT_EQ(cudaStreamWaitEvent(foreign, static_cast<cudaEvent_t>(event.native()), 0), cudaSuccess);
    ASSERT_EQ(cudaMemcpyAsync(copy.data(), buffer.data(), kBytes, cudaMemcpyDeviceToDevice, foreign),
              cudaSuccess);
    ASSERT_EQ(cudaEventRecord(theirs, foreign), cudaSuccess);
    {
      const NativeRecorder native = stream.record_native();
      ASSERT_EQ(cudaStreamWaitEvent(driver_stream(native), theirs, 0), cudaSuccess);
    }
    std::uint8_t last = 0;
    stream.copy(&last, copy.as<std::uint8_t>() + kBytes - 1, 1);
    stream.wait();
    ASSERT_EQ(last, round);
    ASSERT_EQ(cudaEventQuery(static_cast<cudaEvent_t>(event.native())), cudaSuccess);
  }
  cudaEventDestroy(theirs);
  cudaStreamDestroy(foreign);
}

}  // namespace
}  // namespace millrace::test
