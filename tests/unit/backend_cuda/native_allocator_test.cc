// Memory for streams that others made, over a driver that plays the device; and what CCCL makes of it.
#include <millrace/cuda/resource.h>

#include <gtest/gtest.h>
#include <millrace/c.h>
#include <millrace/millrace.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "support/can_take.h"
#include "support/eventually.h"
#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/owned_stream.h"
#include "support/random.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

class NativeMemory : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }

  static Device small_device(int wrapped_streams = 32) {
    return Device::create("cuda:0", {.memory_limit = 64 * kMiB,
                                     .wrapped_streams = wrapped_streams,
                                     .out_of_memory_wait = std::chrono::milliseconds(5)});
  }
  /// Can so much be had elsewhere?
  bool can_take(std::size_t bytes) { return test::can_take(device_, bytes); }
  /// What the first look-up of a stream takes, and later ones do not.
  std::uint64_t leases() { return device_.streams().leases; }

  Device device_ = small_device();
  std::optional<NativeAllocator> memory_{device_};
};

TEST_F(NativeMemory, IsNotReusedBeforeTheStreamIsDoneWithIt) {
  OwnedStream stream;
  void* const block = memory_->allocate(stream.get(), 48 * kMiB);
  stream.hold();
  memory_->deallocate(stream.get(), block);
  EXPECT_FALSE(can_take(48 * kMiB));
  // On the stream itself it can be had at once.
  memory_->deallocate(stream.get(), memory_->allocate(stream.get(), 48 * kMiB));
  stream.open();
  EXPECT_TRUE(eventually([&] { return can_take(48 * kMiB); }));
  device_.check_accounting();
}

TEST_F(NativeMemory, FreedOnAnotherStreamIsOrderedAfterBoth) {
  OwnedStream first, second;
  for (const bool hold_first : {true, false}) {
    void* const block = memory_->allocate(first.get(), 48 * kMiB);
    (hold_first ? first : second).hold();
    memory_->deallocate(second.get(), block);
    EXPECT_FALSE(can_take(48 * kMiB)) << hold_first;
    first.open();
    second.open();
    EXPECT_TRUE(eventually([&] { return can_take(48 * kMiB); }));
    // So that the next block is not of the stream that asks: there a wait on the device is enough.
    EXPECT_TRUE(eventually([&] { return device_.trim(), device_.memory().committed == 0; }));
  }
}

TEST_F(NativeMemory, AStreamThatIsKnownIsNotWrappedAgain) {
  std::vector<OwnedStream> streams(8);
  for (const OwnedStream& stream : streams)
    memory_->deallocate(stream.get(), memory_->allocate(stream.get(), 100));
  const std::uint64_t before = leases();
  for (int i = 0; i < 100; ++i) {
    for (const OwnedStream& stream : streams) {
      void* const block = memory_->allocate(stream.get(), 4096);
      memory_->deallocate(stream.get(), block);
    }
  }
  EXPECT_EQ(leases(), before);
  EXPECT_EQ(device_.streams().wrapped, 8);
  // Another allocator has its own; a ninth stream is asked for again, and still has one lease of ours.
  NativeAllocator other(device_);
  other.deallocate(streams[0].get(), other.allocate(streams[0].get(), 100));
  EXPECT_EQ(leases(), before + 1);
  EXPECT_EQ(device_.streams().wrapped, 8);
}

TEST_F(NativeMemory, AHandleThatIsUsedAgainIsAnotherStream) {
  CUstream handle = nullptr;
  {
    const OwnedStream stream;
    handle = stream.get();
    memory_->deallocate(stream.get(), memory_->allocate(stream.get(), 100));
  }
  const OwnedStream next;
  ASSERT_EQ(next.get(), handle) << "the fake hands out another handle";
  memory_->deallocate(next.get(), memory_->allocate(next.get(), 100));
  EXPECT_EQ(device_.streams().wrapped, 2);
}

TEST_F(NativeMemory, AFreeThatCantBeOrderedWaits) {
  device_ = small_device(1);
  memory_.emplace(device_);
  OwnedStream known, unknown;
  void* const block = memory_->allocate(known.get(), kMiB);
  unknown.hold();
  std::atomic<bool> freed = false;
  std::thread freeing([&] {
    memory_->deallocate(unknown.get(), block);
    freed = true;
  });
  EXPECT_TRUE(remains([&] { return !freed; }));
  unknown.open();
  freeing.join();
  EXPECT_EQ(device_.memory().live, 0u);
}

TEST_F(NativeMemory, ForgottenStreamsAreWrappedAnew) {
  const OwnedStream stream;
  void* const block = memory_->allocate(stream.get(), 100);
  memory_->deallocate(stream.get(), block);
  EXPECT_EQ(device_.streams().wrapped, 1);
  memory_->forget(stream.get());
  memory_->forget(stream.get());
  EXPECT_EQ(device_.streams().wrapped, 0);
  memory_->deallocate(stream.get(), memory_->allocate(stream.get(), 100));
  EXPECT_EQ(device_.streams().wrapped, 1);
}

TEST_F(NativeMemory, CapturedStreamsGetNone) {
  const OwnedStream stream;
  void* const block = memory_->allocate(stream.get(), 48 * kMiB);
  begin_fake_capture(stream.get());
  expect_rule("captured-stream", [&] { memory_->allocate(stream.get(), 100); });
  memory_->deallocate(stream.get(), block);
  EXPECT_EQ(device_.memory().live, 0u);
  EXPECT_TRUE(end_fake_capture(stream.get()));
  EXPECT_TRUE(eventually([&] { return can_take(48 * kMiB); }));
}

// S12: what was on the stream before its capture still uses the block.
TEST_F(NativeMemory, FreedOnACapturedStreamIsOrderedAfterWhatCameBefore) {
  OwnedStream own, other, unknown;
  memory_->deallocate(other.get(), memory_->allocate(other.get(), 100));
  void* const block = memory_->allocate(own.get(), 48 * kMiB);
  other.hold();
  begin_fake_capture(other.get());
  memory_->deallocate(other.get(), block);
  EXPECT_EQ(device_.memory().live, 0u);
  const auto can_take_on_own = [&] {
    try {
      memory_->deallocate(own.get(), memory_->allocate(own.get(), 48 * kMiB));
      return true;
    } catch (const OutOfMemoryError&) {
      return false;
    }
  };
  EXPECT_FALSE(can_take_on_own());
  EXPECT_TRUE(end_fake_capture(other.get()));
  EXPECT_FALSE(can_take(48 * kMiB));
  other.open();
  EXPECT_TRUE(eventually(can_take_on_own));
  // Of a stream that nobody has named nothing is known.
  void* const kept = memory_->allocate(own.get(), kMiB);
  begin_fake_capture(unknown.get());
  memory_->deallocate(unknown.get(), kept);
  EXPECT_EQ(device_.memory().live, kMiB);
  EXPECT_TRUE(end_fake_capture(unknown.get()));
  memory_->deallocate(own.get(), kept);
}

TEST_F(NativeMemory, AStreamWhoseCaptureEndsWhileItIsWrappedCanBeForgotten) {
  const OwnedStream stream;
  begin_fake_capture(stream.get());
  before_fake_cuda(FakeCall::stream_capturing, [&] {
    before_fake_cuda(FakeCall::stream_capturing, [&] { EXPECT_TRUE(end_fake_capture(stream.get())); });
  });
  memory_->deallocate(stream.get(), memory_->allocate(stream.get(), 100));
  EXPECT_EQ(device_.streams().wrapped, 1);
  memory_->forget(stream.get());
  EXPECT_EQ(device_.streams().wrapped, 0);
}

TEST_F(NativeMemory, APlaceIsWaitedForWithoutBoundIfTheOptionSaysSo) {
  device_ = Device::create("cuda:0",
                           {.wrapped_streams = 1, .exhaustion_timeout = std::chrono::milliseconds::max()});
  memory_.emplace(device_);
  const OwnedStream first, second;
  StreamLease lease = device_.wrap(first.get());
  begin_fake_capture(first.get());
  lease.reset();  // its marks come after the capture
  std::atomic<bool> had = false;
  std::thread asking([&] {
    memory_->deallocate(second.get(), memory_->allocate(second.get(), 100));
    had = true;
  });
  EXPECT_TRUE(remains([&] { return !had; }));
  EXPECT_TRUE(end_fake_capture(first.get()));
  asking.join();
  EXPECT_TRUE(had);
}

TEST_F(NativeMemory, DefaultStreams) {
  expect_rule("per-thread-default-stream", [&] { memory_->allocate(CU_STREAM_PER_THREAD, 100); });
  memory_->deallocate(nullptr, memory_->allocate(nullptr, 100));
  const std::uint64_t before = leases();
  memory_->deallocate(CU_STREAM_LEGACY, memory_->allocate(CU_STREAM_LEGACY, 100));
  EXPECT_EQ(leases(), before);
  EXPECT_EQ(device_.streams().wrapped, 1);
}

TEST_F(NativeMemory, SynchronousMemoryIsFreeOfEveryUse) {
  void* const plain = memory_->allocate_sync(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(plain) % kDefaultAlignment, 0u);
  memory_->deallocate_sync(plain);
  memory_->deallocate_sync(nullptr);
  OwnedStream stream;
  void* const block = memory_->allocate(stream.get(), 48 * kMiB);
  stream.hold();
  memory_->deallocate(stream.get(), block);
  std::atomic<bool> had = false;
  std::thread asking([&] {
    for (;;) {
      try {
        memory_->deallocate_sync(memory_->allocate_sync(48 * kMiB));
        break;
      } catch (const OutOfMemoryError&) {
      }
    }
    had = true;
  });
  EXPECT_TRUE(remains([&] { return !had; }));
  stream.open();
  asking.join();
  // What was had so may be freed on a stream, and is used there until then.
  void* const used = memory_->allocate_sync(48 * kMiB);
  stream.hold();
  memory_->deallocate(stream.get(), used);
  EXPECT_FALSE(can_take(48 * kMiB));
  stream.open();
  EXPECT_TRUE(eventually([&] { return can_take(48 * kMiB); }));
}

TEST_F(NativeMemory, FromManyThreads) {
  const std::uint64_t seed = seed_of_run();
  std::vector<OwnedStream> streams(4);
  device_ = Device::create("cuda:0", {.memory_limit = 256 * kMiB});
  memory_.emplace(device_);
  on_threads(6, [&](int number) {
    Random random(seed, static_cast<std::uint64_t>(number));
    struct Block {
      void* address;
      CUstream freed_on;
    };
    std::vector<Block> blocks;
    for (int i = 0; i < 300; ++i) {
      const CUstream stream = streams[random.below(streams.size())].get();
      const CUstream other = streams[random.below(streams.size())].get();
      const std::size_t bytes = random.log_uniform(1, kMiB);
      const bool sync = random.one_in(10);
      auto* const address =
          static_cast<std::uint8_t*>(sync ? memory_->allocate_sync(bytes) : memory_->allocate(stream, bytes));
      // Two blocks that share memory while both are in use would show under ThreadSanitizer.
      run_on_fake_stream(stream, [=] { *address = 1; });
      // Its own stream is ordered before the free as well, which memory for all streams has none of.
      blocks.push_back({address, sync ? stream : other});
      if (random.one_in(3)) continue;
      std::swap(blocks[random.below(blocks.size())], blocks.back());
      memory_->deallocate(blocks.back().freed_on, blocks.back().address);
      blocks.pop_back();
    }
    for (const Block& block : blocks) memory_->deallocate(block.freed_on, block.address);
  });
  device_.check_accounting();
  EXPECT_EQ(device_.memory().live, 0u);
}

TEST_F(NativeMemory, AfterTheClose) {
  const OwnedStream stream;
  void* const block = memory_->allocate(stream.get(), 100);
  void* const sync = memory_->allocate_sync(100);
  device_.close();
  memory_->deallocate(stream.get(), block);
  memory_->deallocate_sync(sync);
  memory_->forget(stream.get());
  expect_code(ErrorCode::Closed, [&] { memory_->allocate(stream.get(), 100); });
  expect_code(ErrorCode::Closed, [&] { memory_->allocate_sync(100); });
}

TEST_F(NativeMemory, FreesBesideTheClose) {
  for (int round = 0; round < 30; ++round) {
    std::vector<OwnedStream> streams(2);
    device_ = small_device();
    memory_.emplace(device_);
    std::vector<std::vector<void*>> blocks(4);
    for (std::vector<void*>& of_thread : blocks) {
      for (int i = 0; i < 200; ++i) of_thread.push_back(memory_->allocate(streams[0].get(), 512));
    }
    on_threads(5, [&](int number) {
      if (number == 4) return device_.close();
      for (void* block : blocks[static_cast<std::size_t>(number)])
        memory_->deallocate(streams[1].get(), block);
    });
    expect_code(ErrorCode::Closed, [&] { memory_->allocate(streams[0].get(), 100); });
  }
}

TEST_F(NativeMemory, TheHostHasNoSuchStreams) {
  const Device host = Device::create("host");
  expect_code(ErrorCode::Unsupported, [&] { NativeAllocator refused(host); });
}

TEST_F(NativeMemory, AFreeThatBreaksARuleEndsTheProgram) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto free_twice = [&] {
    void* const block = memory_->allocate_sync(100);
    memory_->deallocate_sync(block);
    memory_->deallocate_sync(block);
  };
  EXPECT_DEATH(free_twice(), "double-free");
}

// What a program in another language does with a DLPack consumer's stream.
TEST_F(NativeMemory, WrappedFromC) {
  OwnedStream stream;
  millrace_device* device = nullptr;
  ASSERT_EQ(millrace_device_open("cuda:0", 64 * kMiB, &device), MILLRACE_OK);
  millrace_lease* lease = nullptr;
  millrace_stream wrapped{};
  ASSERT_EQ(millrace_device_wrap(device, stream.get(), &lease, &wrapped), MILLRACE_OK)
      << millrace_last_error();
  void* address = nullptr;
  ASSERT_EQ(millrace_allocate(device, 48 * kMiB, 0, &address), MILLRACE_OK);
  ASSERT_EQ(millrace_record_stream(device, address, wrapped), MILLRACE_OK) << millrace_last_error();
  stream.hold();
  ASSERT_EQ(millrace_deallocate(device, address), MILLRACE_OK);
  millrace_memory_stats stats{};
  ASSERT_EQ(millrace_device_memory(device, &stats), MILLRACE_OK);
  EXPECT_GE(stats.pending, 48 * kMiB);
  stream.open();
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(millrace_device_trim(device, nullptr), MILLRACE_OK);
    return millrace_device_memory(device, &stats) == MILLRACE_OK && stats.pending == 0;
  }));
  EXPECT_EQ(millrace_device_wrap(device, CU_STREAM_PER_THREAD, &lease, &wrapped), MILLRACE_INVALID_STATE);
  EXPECT_STREQ(millrace_last_rule(), "per-thread-default-stream");
  millrace_lease_end(lease);
  millrace_device_release(device);
}

// The adapter. Its concepts are asserted in its header.
TEST_F(NativeMemory, AsAResource) {
  const OwnedStream stream;
  cuda::resource resource(device_);
  cuda::resource copy = resource;
  EXPECT_EQ(copy, resource);
  EXPECT_EQ(cuda::resource(device_), resource);
  EXPECT_NE(cuda::resource(small_device()), resource);
  void* const block = resource.allocate(::cuda::stream_ref(stream.get()), 1000, 256);
  copy.deallocate(::cuda::stream_ref(stream.get()), block, 1000, 256);
  void* const async = resource.allocate_async(1000, 256, ::cuda::stream_ref(stream.get()));
  copy.deallocate_async(async, 1000, 256, ::cuda::stream_ref(stream.get()));
  copy.deallocate_sync(resource.allocate_sync(1000, 1024), 1000, 1024);
  copy.deallocate(resource.allocate(1000), 1000);
  EXPECT_EQ(device_.memory().live, 0u);
  EXPECT_EQ(device_.memory().allocations, 4u);
  resource.forget(::cuda::stream_ref(stream.get()));
#if CCCL_VERSION < 3001000
  ::cuda::mr::async_resource_ref<::cuda::mr::device_accessible> erased = resource;
  erased.deallocate_async(erased.allocate_async(64, 64, ::cuda::stream_ref(stream.get())), 64, 64,
                          ::cuda::stream_ref(stream.get()));
  EXPECT_EQ(erased, erased);
#endif
}

}  // namespace
}  // namespace millrace::test
