// Kernels of a user's own in streams, on a real device.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "gpu/gpu_test.h"
#include "gpu/kernels.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kWords = 1 << 16;

class GpuNative : public GpuTest {};

TEST_F(GpuNative, KernelsRunBetweenOtherWork) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer buffer = device.buffer(kWords * 4);
  auto* words = buffer.as<std::uint32_t>();
  std::vector<std::uint32_t> back(kWords);
  for (std::uint32_t round = 0; round < 20; ++round) {
    stream.fill(words, 0, buffer.size());
    if (round % 3 == 0) stream.run("between", [] {});
    {
      const NativeRecorder native = stream.record_native({writes(words, buffer.size())});
      for (std::uint32_t i = 0; i < round; ++i)
        ASSERT_EQ(launch_add_one(driver_stream(native), words, kWords), cudaSuccess);
    }
    stream.copy(back.data(), words, buffer.size());
    stream.wait();
    ASSERT_EQ(*std::min_element(back.begin(), back.end()), round);
    ASSERT_EQ(*std::max_element(back.begin(), back.end()), round);
  }
}

// A1, S11: sixteen threads whose kernels are slow and who free at once: a block that another stream's kernel
// still writes would show.
TEST_F(GpuNative, MemoryIsNotReusedUnderKernels) {
  const std::uint64_t seed = seed_of_run();
  Device device = Device::create("cuda:0", {.memory_limit = std::size_t{256} << 20});
  std::uint32_t* wrong = nullptr;
  ASSERT_EQ(cudaMallocManaged(reinterpret_cast<void**>(&wrong), sizeof *wrong), cudaSuccess);
  *wrong = 0;
  std::atomic<std::uint64_t> refused = 0;
  const std::size_t rounds = scaled(500, 10);
  on_threads(16, [&](int number) {
    Random random(seed, static_cast<std::uint64_t>(number));
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    Stream stream = device.stream();
    for (std::size_t round = 0; round < rounds; ++round) {
      const std::size_t count = random.log_uniform(256, std::size_t{1} << 22);
      void* block = nullptr;
      try {
        block = device.allocate(count * 4);
      } catch (const OutOfMemoryError&) {
        ++refused;
        stream.commit();
        continue;
      }
      auto* words = static_cast<std::uint32_t*>(block);
      const auto value = static_cast<std::uint32_t>(random.next());
      {
        const NativeRecorder native = stream.record_native();
        const cudaStream_t driver = driver_stream(native);
        ASSERT_EQ(launch_set(driver, words, count, value, random.one_in(8) ? 200000 : 0), cudaSuccess);
        ASSERT_EQ(launch_expect(driver, words, count, value, wrong), cudaSuccess);
      }
      device.deallocate(block);
      if (random.one_in(3)) stream.commit();
      if (random.one_in(20)) stream.command_buffer().abandon();
    }
    stream.wait();
  });
  device.synchronize();
  EXPECT_EQ(*wrong, 0U);
  device.check_accounting();
  EXPECT_EQ(device.memory().live, 0U);
  device.close();
  cudaFree(wrong);
}

}  // namespace
}  // namespace millrace::test
