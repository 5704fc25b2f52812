// Memory of private pools for streams that their owners capture, over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/memory_pool.h>
#include <millrace/millrace.h>

#include <cstddef>

#include "support/fake_cuda.h"
#include "support/owned_stream.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

class CapturedPool : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }

  // As few streams of its own as an owner of all streams asks for.
  Device device_ = Device::create("cuda:0", {.memory_limit = 64 * kMiB,
                                             .streams = 1,
                                             .high_priority_streams = 0,
                                             .wrapped_streams = 4,
                                             .captures = 0,
                                             .workers = 1});
};

TEST_F(CapturedPool, AStreamThatIsCapturedGetsMemoryAndTheCaptureIsNotSpoiled) {
  OwnedStream owned;
  const StreamLease lease = device_.wrap(owned.get());
  device_.trim();
  begin_fake_capture(owned.get());
  const MemoryPool pool = MemoryPool::create(device_);
  void* const small = pool.allocate(lease.stream(), 4000);
  void* const large = pool.allocate(lease.stream(), 8 * kMiB);
  device_.deallocate(small);
  EXPECT_EQ(pool.allocate(lease.stream(), 4000), small);
  device_.deallocate(small);
  device_.deallocate(large);
  EXPECT_TRUE(end_fake_capture(owned.get()));
  EXPECT_EQ(pool.drop_user(), 0U);
  device_.check_accounting();
}

}  // namespace
}  // namespace millrace::test
