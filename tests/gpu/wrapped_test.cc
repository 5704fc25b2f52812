// Streams that somebody else made, on a real device.
#include <cstdint>
#include <vector>

#include "gpu/gpu_test.h"
#include "gpu/kernels.h"
#include "support/expect_error.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kWords = 1 << 16;

/// A stream of the caller's.
class Owned {
 public:
  explicit Owned(unsigned flags = cudaStreamNonBlocking) {
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, flags), cudaSuccess);
  }
  ~Owned() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  cudaStream_t get() const { return stream_; }
  void destroy() {
    cudaStreamDestroy(stream_);
    stream_ = nullptr;
  }

 private:
  cudaStream_t stream_ = nullptr;
};

class GpuWrapped : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    ASSERT_EQ(cudaMallocManaged(reinterpret_cast<void**>(&wrong_), sizeof *wrong_), cudaSuccess);
    *wrong_ = 0;
  }
  void TearDown() override { cudaFree(wrong_); }

  std::uint32_t* wrong_ = nullptr;
};

TEST_F(GpuWrapped, OurWorkAndTheOwnersAreOneOrder) {
  Device device = Device::create("cuda:0");
  for (cudaStream_t raw : {cudaStream_t(nullptr), cudaStreamLegacy}) {
    StreamLease lease = device.wrap(raw);
    Stream stream = lease.stream();
    const Buffer buffer = device.buffer(stream, kWords * 4);
    auto* const words = buffer.as<std::uint32_t>();
    stream.fill(words, 0, buffer.size());
    stream.commit();
    ASSERT_EQ(launch_add_one(raw, words, kWords), cudaSuccess);
    std::uint32_t last = 0;
    stream.copy(&last, words + kWords - 1, 4);
    stream.wait();
    EXPECT_EQ(last, 1U);
  }
  EXPECT_EQ(device.wrap(nullptr).stream(), device.wrap(cudaStreamLegacy).stream());
  expect_rule("per-thread-default-stream", [&] { static_cast<void>(device.wrap(cudaStreamPerThread)); });
}

// A lease that outlives its stream is known by the number, where the handle is another stream's by then.
// (Where it is nobody's, the driver may crash on it.)
TEST_F(GpuWrapped, HandlesAreReusedAndNumbersAreNot) {
  Device device = Device::create("cuda:0");
  Owned first;
  const cudaStream_t handle = first.get();
  StreamLease lease = device.wrap(handle);
  lease.stream().wait();
  first.destroy();
  Owned second;
  if (second.get() != handle) GTEST_SKIP() << "the driver did not reuse the handle";
  StreamLease other = device.wrap(second.get());
  EXPECT_NE(other.stream().id(), lease.stream().id());
  expect_rule("destroyed-stream", [&] { lease.stream().wait(); });
  other.stream().wait();
  lease.reset();
}

TEST_F(GpuWrapped, AStreamThatIsCapturedIsToldByName) {
  Device device = Device::create("cuda:0");
  Owned owned;
  StreamLease lease = device.wrap(owned.get());
  ASSERT_EQ(cudaStreamBeginCapture(owned.get(), cudaStreamCaptureModeGlobal), cudaSuccess);
  expect_rule("captured-stream", [&] { lease.stream().wait(); });
  expect_rule("captured-stream", [&] { static_cast<void>(device.wrap(owned.get())); });
  device.trim();
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(owned.get(), &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  lease.stream().wait();
}

// While a stream that is ordered with the legacy default stream is captured, nothing may be put on the
// latter.
TEST_F(GpuWrapped, TheLegacyDefaultStreamSpoilsNoCapture) {
  Device device = Device::create("cuda:0");
  StreamLease lease = device.wrap(nullptr);
  device.deallocate(device.allocate(lease.stream(), 4096));
  Owned blocking(cudaStreamDefault);
  ASSERT_EQ(cudaStreamBeginCapture(blocking.get(), cudaStreamCaptureModeGlobal), cudaSuccess);
  expect_rule("captured-stream", [&] { lease.stream().wait(); });
  device.trim();
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(blocking.get(), &graph), cudaSuccess);
  cudaGraphDestroy(graph);
  lease.stream().wait();
}

// A1, S12: sixteen threads on eight streams, kernels that are slow, blocks freed at once.
TEST_F(GpuWrapped, MemoryIsNotReusedUnderTheOwnersKernels) {
  const std::uint64_t seed = seed_of_run();
  Device device = Device::create("cuda:0", {.memory_limit = std::size_t{256} << 20, .wrapped_streams = 8});
  std::vector<Owned> streams(8);
  const std::size_t rounds = scaled(500, 10);
  on_threads(16, [&](int number) {
    Random random(seed, static_cast<std::uint64_t>(number));
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    for (std::size_t round = 0; round < rounds; ++round) {
      const cudaStream_t raw = streams[random.next() % streams.size()].get();
      StreamLease lease = device.wrap(raw);
      const std::size_t count = random.log_uniform(256, std::size_t{1} << 22);
      void* block = nullptr;
      try {
        block = device.allocate(lease.stream(), count * 4);
      } catch (const OutOfMemoryError&) {
        continue;
      }
      auto* const words = static_cast<std::uint32_t*>(block);
      const auto value = static_cast<std::uint32_t>(random.next());
      ASSERT_EQ(launch_set(raw, words, count, value, random.one_in(8) ? 200000 : 0), cudaSuccess);
      if (random.one_in(3)) {
        StreamLease other = device.lease();
        Event event = device.event();
        event.record(lease.stream());
        other.stream().wait_event(event);
        {
          const NativeRecorder native = other.stream().record_native();
          ASSERT_EQ(launch_expect(driver_stream(native), words, count, value, wrong_), cudaSuccess);
        }
        other.stream().commit();
        device.record_use(block, other.stream());
      } else {
        ASSERT_EQ(launch_expect(raw, words, count, value, wrong_), cudaSuccess);
      }
      device.deallocate(block);
      if (random.one_in(50)) device.trim();
    }
  });
  device.synchronize();
  EXPECT_EQ(*wrong_, 0U);
  device.check_accounting();
  EXPECT_EQ(device.memory().live, 0U);
}

}  // namespace
}  // namespace millrace::test
