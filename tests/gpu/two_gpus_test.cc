// Two GPUs used by sixteen threads at once, copies between them included.
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "gpu/gpu_test.h"
#include "gpu/kernels.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

class TwoGpus : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    int count = 0;
    ASSERT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    if (count < 2) GTEST_SKIP() << "one GPU only";
    for (int i = 0; i < 2; ++i) {
      devices_.push_back(Device::create("cuda:" + std::to_string(i)));
      ASSERT_EQ(cudaMallocManaged(reinterpret_cast<void**>(&wrong_[i]), sizeof *wrong_[i]), cudaSuccess);
      *wrong_[i] = 0;
    }
  }

  /// One after the other: set by a kernel on the thread's device, copied to the other one's memory, checked
  /// by a kernel there, copied back into memory of its own device, checked there.
  void exchange(int number, std::uint64_t seed, std::size_t rounds) {
    Random random(seed, static_cast<std::uint64_t>(number));
    const auto own = static_cast<std::size_t>(number % 2), other = 1 - own;
    Stream here = devices_[own].stream(), there = devices_[other].stream();
    for (std::size_t round = 0; round < rounds; ++round) {
      const std::size_t count = random.log_uniform(64, std::size_t{1} << 22);
      const auto value = static_cast<std::uint32_t>(random.next());
      const Buffer first = devices_[own].buffer(count * 4), second = devices_[own].buffer(count * 4);
      const Buffer far = devices_[other].buffer(count * 4);
      on(here, own, [&](cudaStream_t stream) {
        return launch_set(stream, first.as<std::uint32_t>(), count, value, 1000);
      });
      here.copy(far.data(), first.data(), count * 4);
      here.wait();
      on(there, other, [&](cudaStream_t stream) {
        return launch_expect(stream, far.as<std::uint32_t>(), count, value, wrong_[other]);
      });
      there.copy(second.data(), far.data(), count * 4);
      there.wait();
      on(here, own, [&](cudaStream_t stream) {
        return launch_expect(stream, second.as<std::uint32_t>(), count, value, wrong_[own]);
      });
      if (random.one_in(4)) here.commit();
    }
    here.wait();
  }

  template <typename Launch>
  static void on(Stream stream, std::size_t device, Launch&& launch) {
    ASSERT_EQ(cudaSetDevice(static_cast<int>(device)), cudaSuccess);
    const NativeRecorder native = stream.record_native();
    ASSERT_EQ(launch(driver_stream(native)), cudaSuccess);
  }

  void finish() {
    for (std::size_t i = 0; i < 2; ++i) {
      devices_[i].synchronize();
      devices_[i].check_accounting();
      EXPECT_EQ(devices_[i].memory().live, 0U);
      devices_[i].close();
      ASSERT_EQ(cudaSetDevice(static_cast<int>(i)), cudaSuccess);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    }
    for (std::uint32_t* wrong : wrong_) {
      EXPECT_EQ(*wrong, 0U);
      cudaFree(wrong);
    }
  }

  std::vector<Device> devices_;
  std::uint32_t* wrong_[2] = {};
};

TEST_F(TwoGpus, SixteenThreadsCopyBetweenThem) {
  const std::uint64_t seed = seed_of_run();
  on_threads(16, [&](int number) { exchange(number, seed, scaled(100, 10)); });
  finish();
}

TEST_F(TwoGpus, TheSameWhenEachMayTouchTheOthersMemory) {
  const std::uint64_t seed = seed_of_run();
  try {
    devices_[0].grant_access(devices_[1]);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unsupported) throw;
    GTEST_SKIP() << error.what();
  }
  on_threads(16, [&](int number) {
    if (number == 5) devices_[1].grant_access(devices_[0]);
    exchange(number, seed, scaled(100, 10));
  });
  // And a kernel of one writes the other's memory in place.
  {
    const Buffer far = devices_[1].buffer(4096);
    on(devices_[0].stream(), 0,
       [&](cudaStream_t stream) { return launch_set(stream, far.as<std::uint32_t>(), 1024, 77); });
    devices_[0].stream().wait();
    on(devices_[1].stream(), 1, [&](cudaStream_t stream) {
      return launch_expect(stream, far.as<std::uint32_t>(), 1024, 77, wrong_[1]);
    });
    devices_[1].stream().wait();
  }
  finish();
}

// By a stream of the device that has not the memory, with and without the right to touch it.
TEST_F(TwoGpus, HostMemoryAndTheOthersMemory) {
  for (const bool granted : {false, true}) {
    if (granted) devices_[1].grant_access(devices_[0]);
    for (const std::size_t bytes : {std::size_t{4096}, std::size_t{4} << 20}) {
      const Buffer far = devices_[1].buffer(bytes);
      const std::vector<std::uint8_t> there(bytes, 9);
      std::vector<std::uint8_t> back(bytes);
      Stream stream = devices_[0].stream();
      stream.copy(far.data(), there.data(), bytes);
      stream.copy(back.data(), far.data(), bytes);
      stream.wait();
      EXPECT_EQ(back, there);
      stream.fill(far.data(), 4, bytes);
      if (granted) {
        stream.copy(back.data(), far.data(), bytes);
        stream.wait();
        EXPECT_EQ(back.back(), 4);
      } else {
        try {
          stream.wait();
          ADD_FAILURE() << "a fill of memory that the device may not touch went well";
        } catch (const Error& error) {
          EXPECT_NE(error.message().find("grant_access"), std::string::npos) << error.what();
        }
      }
    }
  }
  finish();
}

}  // namespace
}  // namespace millrace::test
