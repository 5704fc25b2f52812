// Devices, threads and handles that end in any order. What ends a process is in tests/lifecycle.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/device_pattern.h"
#include "support/expect_error.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

Device small_device() {
  return create_test_device({.memory_limit = 256 * kMiB});
}

TEST(Lifecycle, AThreadOutlivesItsDevice) {
  const Watchdog watchdog("a thread that outlives its device", seconds(60));
  Device device = small_device();
  std::barrier step(2);
  std::thread thread([&] {
    Stream stream = device.stream();
    void* block = device.allocate(4 * kKiB);
    Buffer buffer = device.buffer(4 * kMiB);
    Event event = device.event();
    StreamLease lease = device.lease();
    CommandBuffer recording = stream.command_buffer();
    stream.fill(buffer.data(), 1, 64);
    stream.commit();
    step.arrive_and_wait();  // the device closes
    step.arrive_and_wait();
    EXPECT_FALSE(device.is_open());
    expect_code(ErrorCode::Closed, [&] { device.allocate(64); });
    expect_code(ErrorCode::Closed, [&] { device.stream(); });
    expect_code(ErrorCode::Closed, [&] { device.event(); });
    expect_code(ErrorCode::Closed, [&] { device.lease(); });
    expect_code(ErrorCode::Closed, [&] { stream.fill(block, 1, 64); });
    expect_code(ErrorCode::Closed, [&] { stream.wait(); });
    expect_code(ErrorCode::Closed, [&] { event.record(stream); });
    EXPECT_NO_THROW(device.deallocate(block));
    EXPECT_TRUE(is_final(recording.status()));
    buffer.reset();
    // Event, lease, command buffer and the thread's own state end here.
  });
  step.arrive_and_wait();
  device.close();
  device.close();
  step.arrive_and_wait();
  thread.join();
}

TEST(Lifecycle, HandlesOutliveTheDeviceObject) {
  const Watchdog watchdog("handles that outlive the device", seconds(60));
  std::optional<Device> device = small_device();
  Buffer buffer = device->buffer(1000);
  Event event = device->event();
  StreamLease lease = device->lease();
  Stream stream = lease.stream();
  CommandBuffer recording = stream.command_buffer();
  device.reset();
  EXPECT_TRUE(is_final(recording.status()));
  expect_code(ErrorCode::Closed, [&] { stream.commit(); });
  buffer.reset();
  event.reset();
  lease.reset();
}

TEST(Lifecycle, ADeviceOutlivesItsThreads) {
  const Watchdog watchdog("a device that outlives threads", seconds(100));
  Device device = small_device();
  Buffer left;
  Stream stale;
  std::thread([&] {
    left = device.buffer(64 * kKiB);
    DevicePatterns(device).write(left.data(), left.size(), 11);
    stale = device.stream();
    EXPECT_EQ(device.streams().leased, 1);
    std::vector<Buffer> cached;
    for (int i = 0; i < 20; ++i) cached.push_back(device.buffer(10 * kKiB));
  }).join();
  EXPECT_EQ(device.streams().leased, 0);
  EXPECT_EQ(device.memory().cached, 0u);
  expect_rule("stale-stream", [&] { stale.fill(left.data(), 0, 16); });
  EXPECT_TRUE(DevicePatterns(device).check(left.data(), left.size(), 11));
  device.check_accounting();
  left.reset();
  EXPECT_EQ(device.memory().live, 0u);
  device.trim();
  EXPECT_EQ(device.memory().committed, 0u);
}

TEST(Lifecycle, ClosingDuringAllocationFromEightThreads) {
  Random random(seed_of_run());
  const std::size_t rounds = scaled(120, 6);
  for (std::size_t i = 0; i < rounds; ++i) {
    Device device = small_device();
    const auto delay = microseconds(random.below(3000));
    const int closers = static_cast<int>(1 + random.below(2));
    std::atomic<int> refused = 0;
    on_threads(
        8 + closers,
        [&](int number) {
          if (number >= 8) {
            std::this_thread::sleep_for(delay);
            device.close();
            EXPECT_FALSE(device.is_open());
            return;
          }
          std::vector<Buffer> mine;
          try {
            for (std::size_t n = 0;; ++n) {
              mine.push_back(device.buffer(n % 50 == 0 ? 2 * kMiB : 100 + n % 7000));
              if (number % 2 == 0 && n % 20 == 0) {
                Stream stream = device.stream();
                stream.fill(mine.back().data(), 1, mine.back().size());
                stream.commit();
              }
              if (mine.size() > 20) mine.erase(mine.begin(), mine.begin() + 10);
            }
          } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Closed) << error.what();
            ++refused;
          }
        },
        seconds(60));
    EXPECT_EQ(refused, 8);
  }
}

TEST(Lifecycle, TheLastHandleMayBeDroppedByAnyThread) {
  const std::size_t rounds = scaled(60, 6);
  for (std::size_t i = 0; i < rounds; ++i) {
    std::optional<Device> device = small_device();
    std::vector<Device> copies(4, *device);
    device.reset();
    on_threads(
        4,
        [&](int number) {
          Device mine = std::move(copies[static_cast<std::size_t>(number)]);
          Buffer buffer = mine.buffer(10 * kKiB);
          Stream stream = mine.stream();
          stream.fill(buffer.data(), 3, buffer.size());
          stream.commit();
          mine = Device();
        },
        seconds(60));
  }
}

TEST(Lifecycle, AHandlerMayDropTheLastHandle) {
  const Watchdog watchdog("the last handle in a handler", seconds(60));
  for (int i = 0; i < 20; ++i) {
    auto device = std::make_shared<Device>(small_device());
    const std::weak_ptr<Device> gone = device;
    Stream stream = device->default_stream();
    std::atomic<bool> ran = false;
    CommandBuffer done;
    {
      Device* raw = device.get();
      stream.run("nothing", [] {});
      stream.on_completed([held = std::move(device), raw, &ran](const Completion&) mutable {
        EXPECT_TRUE(raw->is_open());
        expect_rule("close-in-handler", [&] { raw->close(); });
        held.reset();
        ran = true;
      });
      done = stream.commit();
    }
    while (!ran) std::this_thread::yield();
    EXPECT_TRUE(gone.expired());
  }
}

TEST(Lifecycle, TwoDevicesDoNotMix) {
  const Watchdog watchdog("two devices", seconds(60));
  Device a = small_device(), b = small_device();
  Buffer of_a = a.buffer(4 * kKiB), of_b = b.buffer(4 * kKiB);
  expect_code(ErrorCode::InvalidArgument, [&] { b.deallocate(of_a.data()); });
  expect_code(ErrorCode::InvalidArgument, [&] { a.record_use(of_b.data(), a.stream()); });
  expect_code(ErrorCode::InvalidArgument, [&] { a.allocate(b.stream(), 64); });
  on_threads(4, [&](int number) {
    for (int i = 0; i < 200; ++i) {
      Device& device = (i + number) % 2 == 0 ? a : b;
      Buffer block = device.buffer(1000 + static_cast<std::size_t>(i));
      Stream stream = device.stream();
      stream.fill(block.data(), static_cast<std::uint8_t>(i), block.size());
      EXPECT_EQ(read_one(stream, block.as<std::uint8_t>() + block.size() - 1), static_cast<std::uint8_t>(i));
    }
  });
  a.close();
  EXPECT_TRUE(b.is_open());
  Buffer more = b.buffer(kMiB);
  of_a.reset();
  of_b.reset();
  more.reset();
  EXPECT_EQ(b.memory().live, 0u);
  b.check_accounting();
}

TEST(Lifecycle, DevicesOfTheSameNameAreOneWhileOpen) {
  const Watchdog watchdog("shared devices", seconds(60));
  const std::string name = test_device_name(7), another = test_device_name(6);
  Device::open(name).close();  // where it is the only one, it may be open as the current device
  {
    Device first = Device::open(name, {.memory_limit = 32 * kMiB});
    Device second = Device::open(name);
    EXPECT_TRUE(first.info().name.starts_with(name)) << first.info().name;
    EXPECT_EQ(second.memory().limit, 32 * kMiB);
    Buffer buffer = first.buffer(kMiB);
    EXPECT_GE(second.memory().live, kMiB);
    if (another != name) {
      EXPECT_EQ(Device::open(another).memory().live, 0u);
    }
    second.close();
    EXPECT_FALSE(first.is_open());
    Device again = Device::open(name, {.memory_limit = 16 * kMiB});
    EXPECT_EQ(again.memory().limit, 16 * kMiB);
  }
  expect_code(ErrorCode::InvalidArgument, [] { Device::open("nonesuch"); });
  expect_code(ErrorCode::Closed, [] { Device().memory(); });
}

TEST(Lifecycle, DevicesComeAndGoUnderThreadsThatUseThem) {
  const Watchdog watchdog("devices that come and go", seconds(100));
  const std::size_t rounds = scaled(200, 10);
  const std::string name = test_device_name(9);
  std::atomic<bool> ended = false;
  on_threads(
      6,
      [&](int number) {
        if (number == 0) {
          for (std::size_t i = 0; i < rounds; ++i) {
            Device device = Device::open(name);
            if (i % 2 == 0) device.close();
          }
          ended = true;
          return;
        }
        while (!ended) {
          try {
            Device device = Device::open(name);
            Buffer buffer = device.buffer(5000);
            device.stream().fill(buffer.data(), 9, buffer.size());
            device.stream().wait();
          } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Closed) << error.what();
          }
        }
      },
      seconds(90));
}

}  // namespace
}  // namespace millrace::test
