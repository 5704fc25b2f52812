// What a worker has on its way, and how much of it fits.
#include "stats_pipeline.h"

#include <gtest/gtest.h>

#include "open_device.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

/// What the shape takes of the device: of each worker the places, and a granule for reductions.
std::uint64_t committed(const PipelineShape& shape) {
  return static_cast<std::uint64_t>(shape.workers) *
         (static_cast<std::uint64_t>(shape.places) * shape.copied_bytes + 2 * kMiB);
}

TEST(StatsPipeline, FitsTheLimit) {
  const PipelineShape wanted = fit_pipeline(std::uint64_t{1} << 40, 12);
  EXPECT_EQ(wanted, (PipelineShape{12, 3, 2 * kMiB}));
  EXPECT_EQ(fit_pipeline(committed(wanted), 12), wanted);
  EXPECT_EQ(fit_pipeline(committed(wanted) - 1, 12), (PipelineShape{12, 2, 2 * kMiB}));
  for (std::uint64_t limit = 4 * kMiB; limit < 128 * kMiB; limit += kMiB) {
    const PipelineShape shape = fit_pipeline(limit, 12);
    EXPECT_LE(committed(shape), limit);
    EXPECT_GE(shape.workers, 1);
    EXPECT_GE(shape.copied_bytes, kPieceBytes);
  }
  EXPECT_EQ(fit_pipeline(1, 12), (PipelineShape{1, 1, kCopiedBytes}))
      << "that fails and says what memory there is";
}

TEST(FastestDevice, IsAGpuWhereThereIsOne) {
  DeviceInfo host;
  host.name = "host:0";
  DeviceInfo first = host;
  first.name = "cuda:0";
  DeviceInfo second = host;
  second.name = "cuda:1";
  EXPECT_EQ(fastest_device({host}), "host");
  EXPECT_EQ(fastest_device({host, first, second}), "cuda:0");
  EXPECT_EQ(fastest_device({}), "host");
  EXPECT_TRUE(is_host("host"));
  EXPECT_TRUE(is_host("host:3"));
  EXPECT_FALSE(is_host("cuda"));
}

}  // namespace
}  // namespace millrace::tool
