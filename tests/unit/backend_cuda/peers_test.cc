// Several devices at once, over a driver that plays them and refuses what a real one would.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

class CudaPeers : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(3); }

  /// Fills on one device, copies to the other and back to the host, in the first one's stream order.
  static std::uint8_t through(Device& first, Device& second, std::uint8_t value) {
    const Buffer here = first.buffer(4096), there = second.buffer(4096);
    Stream stream = first.stream();
    stream.fill(here.data(), value, 4096);
    stream.copy(there.data(), here.data(), 4096);
    stream.wait();
    std::uint8_t back = 0;
    Stream others = second.stream();
    others.copy(&back, there.as<std::uint8_t>() + 4095, 1);
    others.wait();
    return back;
  }
};

TEST_F(CudaPeers, CopiesFindAWayWithoutAccess) {
  Device first = Device::create("cuda:0"), second = Device::create("cuda:1");
  EXPECT_EQ(through(first, second, 3), 3);
  EXPECT_EQ(through(second, first, 4), 4);
}

// By a stream of the device that has not the memory: small ones, which are taken along to a device's own, and
// large ones.
TEST_F(CudaPeers, CopiesBetweenTheHostAndAPeer) {
  Device first = Device::create("cuda:0"), second = Device::create("cuda:1");
  for (const bool granted : {false, true}) {
    if (granted) second.grant_access(first);
    for (const std::size_t bytes : {std::size_t{64}, std::size_t{1} << 20}) {
      const Buffer far = second.buffer(bytes);
      const std::vector<std::uint8_t> there(bytes, 9);
      std::vector<std::uint8_t> back(bytes);
      Stream stream = first.stream();
      stream.copy(far.data(), there.data(), bytes);
      stream.copy(back.data(), far.data(), bytes);
      stream.wait();
      EXPECT_EQ(back, there);
    }
  }
}

TEST_F(CudaPeers, FillsOfWhatAPeerHasSayWhatToDo) {
  Device first = Device::create("cuda:0"), second = Device::create("cuda:1");
  const Buffer far = second.buffer(4096);
  Stream stream = first.stream();
  stream.fill(far.data(), 1, 4096);
  try {
    stream.wait();
    FAIL() << "it went well";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    EXPECT_NE(error.message().find("grant_access"), std::string::npos) << error.what();
  }
  second.grant_access(first);
  stream.fill(far.data(), 1, 4096);
  EXPECT_NO_THROW(stream.wait());
}

TEST_F(CudaPeers, AccessCountsForWhatIsThereAndWhatComes) {
  Device first = Device::create("cuda:0"), second = Device::create("cuda:1");
  const Buffer before = first.buffer(1 << 20);
  first.grant_access(second);
  first.grant_access(second);
  const Buffer after = first.buffer(std::size_t{256} << 20);
  for (const Buffer* buffer : {&before, &after}) {
    // The peer's own copies within the memory are ordinary ones, which the driver refuses without access.
    Stream stream = second.stream();
    NativeRecorder native = stream.record_native();
    const auto driver_copies = [&] {
      return fake_ordinary_copy(static_cast<CUstream>(native.stream()), buffer->as<std::uint8_t>() + 512,
                                buffer->data(), 256);
    };
    EXPECT_EQ(driver_copies(), CUDA_SUCCESS);
    native.end();
    stream.wait();
  }
  EXPECT_EQ(through(first, second, 5), 5);
}

TEST_F(CudaPeers, WithoutAccessTheDriverRefusesOrdinaryCopies) {
  Device first = Device::create("cuda:0"), second = Device::create("cuda:1");
  const Buffer buffer = first.buffer(4096);
  Stream stream = second.stream();
  const NativeRecorder native = stream.record_native();
  EXPECT_EQ(fake_ordinary_copy(static_cast<CUstream>(native.stream()), buffer.as<std::uint8_t>() + 512,
                               buffer.data(), 256),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CudaPeers, GrantedWhileOthersCommit) {
  Device first = Device::create("cuda:0"), second = Device::create("cuda:1"),
         third = Device::create("cuda:2");
  std::vector<std::vector<Buffer>> held(4);
  on_threads(6, [&](int number) {
    if (number == 4) return first.grant_access(second);
    if (number == 5) return first.grant_access(third);
    for (int i = 0; i < 20; ++i)
      held[static_cast<std::size_t>(number)].push_back(first.buffer(std::size_t{4} << 20));
  });
  for (Device* peer : {&second, &third}) {
    Stream stream = peer->stream();
    NativeRecorder native = stream.record_native();
    for (const auto& buffers : held) {
      for (const Buffer& buffer : buffers) {
        EXPECT_EQ(fake_ordinary_copy(static_cast<CUstream>(native.stream()), buffer.as<std::uint8_t>() + 512,
                                     buffer.data(), 256),
                  CUDA_SUCCESS);
      }
    }
    native.end();
    stream.wait();  // before the next device writes the same memory
  }
}

TEST_F(CudaPeers, ErrorsOfGrantAccess) {
  Device device = Device::create("cuda:0"), host = Device::create("host"), closed = Device::create("cuda:1");
  EXPECT_NO_THROW(device.grant_access(device));
  EXPECT_NO_THROW(host.grant_access(host));
  expect_code(ErrorCode::Unsupported, [&] { device.grant_access(host); });
  expect_code(ErrorCode::Unsupported, [&] { host.grant_access(device); });
  closed.close();
  expect_code(ErrorCode::Closed, [&] { device.grant_access(Device()); });
  expect_code(ErrorCode::Closed, [&] { closed.grant_access(device); });
}

TEST_F(CudaPeers, SixteenThreadsOnTwoDevices) {
  Device devices[] = {Device::create("cuda:0"), Device::create("cuda:1")};
  on_threads(16, [&](int number) {
    for (int i = 0; i < 20; ++i) {
      const auto value = static_cast<std::uint8_t>(number * 16 + i);
      EXPECT_EQ(through(devices[number % 2], devices[1 - number % 2], value), value);
      if (number == 3 && i == 10) devices[0].grant_access(devices[1]);
    }
  });
  for (Device& device : devices) {
    device.check_accounting();
    EXPECT_EQ(device.memory().live, 0U);
  }
}

}  // namespace
}  // namespace millrace::test
