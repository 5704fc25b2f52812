// The full figures of a device's memory against a model of what was done.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

/// What is allocated and freed by hand.
struct Model {
  MemoryFigures count, bytes;

  static void add(MemoryFigures& figures, bool large, std::uint64_t value) {
    for (MemoryFigure* each : {&figures.all, large ? &figures.large : &figures.small}) {
      each->current += value;
      each->allocated += value;
      each->peak = std::max(each->peak, each->current);
    }
  }
  static void subtract(MemoryFigures& figures, bool large, std::uint64_t value) {
    for (MemoryFigure* each : {&figures.all, large ? &figures.large : &figures.small}) {
      each->current -= value;
      each->freed += value;
    }
  }
  void allocate(std::size_t size) {
    add(count, size > kMiB, 1);
    add(bytes, size > kMiB, size);
  }
  void free(std::size_t size) {
    subtract(count, size > kMiB, 1);
    subtract(bytes, size > kMiB, size);
  }
  void reset_peaks() {
    for (MemoryFigures* figures : {&count, &bytes}) {
      for (MemoryFigure* each : {&figures->all, &figures->small, &figures->large}) each->peak = each->current;
    }
  }
};

void expect_equal(const MemoryFigures& found, const MemoryFigures& expected, const char* what) {
  const auto compare = [&](const MemoryFigure& one, const MemoryFigure& other, const char* size) {
    EXPECT_EQ(one.current, other.current) << what << ' ' << size;
    EXPECT_EQ(one.peak, other.peak) << what << ' ' << size;
    EXPECT_EQ(one.allocated, other.allocated) << what << ' ' << size;
    EXPECT_EQ(one.freed, other.freed) << what << ' ' << size;
  };
  compare(found.all, expected.all, "all");
  compare(found.small, expected.small, "small");
  compare(found.large, expected.large, "large");
}

/// Of sizes that are not rounded up: it would take asking the device to know by how much.
std::size_t exact_size(Random& random) {
  return random.below(4) == 0 ? kMiB + 64 * kKiB * (1 + random.below(40)) : 512 * (1 + random.below(16));
}

TEST(MemoryStatistics, WhatWasAskedForIsKnownToTheByte) {
  Device device = create_test_device();
  const MemoryPool pool = MemoryPool::create(device);
  void* const small = device.allocate(777);
  void* const pooled = pool.allocate(device.stream(), 1001);
  void* const large = device.allocate(3 * kMiB + 5);
  MemoryStatistics now = device.memory_statistics();
  EXPECT_EQ(now.requested_bytes.small.current, 777U + 1001U);
  EXPECT_EQ(now.requested_bytes.large.current, 3 * kMiB + 5);
  EXPECT_GT(now.allocated_bytes.all.current, now.requested_bytes.all.current);
  for (void* const address : {small, pooled, large}) device.deallocate(address);
  now = device.memory_statistics();
  EXPECT_EQ(now.requested_bytes.all.current, 0U);
  EXPECT_EQ(now.requested_bytes.all.allocated, now.requested_bytes.all.freed);
}

TEST(MemoryStatistics, WhoRoundsUpForOthersSaysWhatTheyAskedFor) {
  Device device = create_test_device();
  const MemoryPool pool = MemoryPool::create(device);
  void* const small = device.allocate(64 * kKiB);
  void* const pooled = pool.allocate(device.stream(), 4 * kMiB);
  device.note_requested(small, 40'000);
  device.note_requested(pooled, 3 * kMiB + 5);
  MemoryStatistics now = device.memory_statistics();
  EXPECT_EQ(now.allocated_bytes.small.current, 64 * kKiB);
  EXPECT_EQ(now.requested_bytes.small.current, 40'000U);
  EXPECT_EQ(now.requested_bytes.small.allocated, 40'000U);
  EXPECT_EQ(now.requested_bytes.large.current, 3 * kMiB + 5);
  EXPECT_EQ(now.requested_bytes.large.allocated, 3 * kMiB + 5);
  // Said again, by another thread, and of the host's.
  std::thread([&] { device.note_requested(small, 50'000); }).join();
  void* const pinned = device.allocate_pinned(64 * kKiB);
  device.note_requested(pinned, 33'000);
  now = device.memory_statistics();
  EXPECT_EQ(now.requested_bytes.small.current, 50'000U);
  EXPECT_EQ(now.requested_bytes.small.allocated, 50'000U);
  EXPECT_EQ(device.memory_statistics(MemoryKind::pinned).requested_bytes.all.allocated, 33'000U);
  device.deallocate(pinned);
  expect_code(ErrorCode::InvalidArgument, [&] { device.note_requested(small, 64 * kKiB + 1); });
  expect_code(ErrorCode::InvalidArgument, [&] { device.note_requested(&device, 1); });
  device.deallocate(small);
  device.deallocate(pooled);
  expect_rule("double-free", [&] { device.note_requested(small, 1); });
  now = device.memory_statistics();
  EXPECT_EQ(now.requested_bytes.all.current, 0U);
  EXPECT_EQ(now.requested_bytes.all.allocated, 50'000U + 3 * kMiB + 5);
  EXPECT_EQ(now.requested_bytes.all.freed, 50'000U + 3 * kMiB + 5);
}

TEST(MemoryStatistics, OfOneThreadAreExactPeaksToo) {
  Random random(seed_of_run(), 0);
  Device device = create_test_device();
  const MemoryPool pool = MemoryPool::create(device);
  Model model;
  std::vector<std::pair<void*, std::size_t>> live;
  for (std::size_t step = 0; step < scaled(100000, 20); ++step) {
    if (live.size() < 60 && random.below(2) == 0) {
      const std::size_t size = exact_size(random);
      live.emplace_back(random.below(4) == 0 ? pool.allocate(device.stream(), size) : device.allocate(size),
                        size);
      model.allocate(size);
    } else if (!live.empty()) {
      std::swap(live[random.below(live.size())], live.back());
      device.deallocate(live.back().first);
      model.free(live.back().second);
      live.pop_back();
    }
    if (step % 2500 == 0) {
      const MemoryStatistics found = device.memory_statistics();
      expect_equal(found.allocations, model.count, "allocations");
      expect_equal(found.allocated_bytes, model.bytes, "bytes");
      expect_equal(found.requested_bytes, model.bytes, "requested bytes");
      expect_equal(found.active, model.count, "active");
      expect_equal(found.active_bytes, model.bytes, "active bytes");
    }
    if (step % 10000 == 0) {
      device.reset_peaks();
      model.reset_peaks();
    }
  }
  for (const auto& [address, size] : live) device.deallocate(address);
}

TEST(MemoryStatistics, WhatWorkStillUsesIsActive) {
  if (!on_host_backend()) GTEST_SKIP() << "host tasks hold a stream of the host backend";
  const Watchdog watchdog("active memory");
  Device device = create_test_device();
  StreamLease other = device.lease();
  void* const used = device.allocate(2 * kMiB);
  void* const small = device.allocate(512);
  {
    StreamHold hold(other.stream());
    device.record_stream(used, other.stream());
    device.record_stream(small, other.stream());
    device.deallocate(used);
    device.deallocate(small);
    const MemoryStatistics found = device.memory_statistics();
    EXPECT_EQ(found.allocations.all.current, 0U);
    EXPECT_EQ(found.active.all.current, 2U);
    EXPECT_EQ(found.active_bytes.large.current, 2 * kMiB);
    EXPECT_EQ(found.active_bytes.small.current, 512U);
  }
  device.synchronize();
  device.trim();  // which looks at all that was used
  const Buffer again = device.buffer(2 * kMiB);
  const MemoryStatistics found = device.memory_statistics();
  EXPECT_EQ(found.active.all.current, 1U);
  EXPECT_EQ(found.active.all.peak, 2U);
  EXPECT_EQ(found.active_bytes.all.peak, 2 * kMiB + 512);
  EXPECT_EQ(found.allocated_bytes.all.peak, 2 * kMiB + 512);
}

TEST(MemoryStatistics, SegmentsAreThoseOfTheListing) {
  Random random(seed_of_run(), 0);
  Device device = create_test_device({.memory_limit = 512 * kMiB});
  std::vector<Buffer> live;
  std::uint64_t most = 0, most_bytes = 0;
  for (std::size_t step = 0; step < scaled(2000, 10); ++step) {
    live.push_back(device.buffer(random.log_uniform(1, 16 * kMiB)));
    if (live.size() > 12) {
      std::swap(live[random.below(live.size())], live.back());
      live.pop_back();
    }
    if (step % 10 == 0) device.trim();
    const MemoryStatistics found = device.memory_statistics();
    std::uint64_t large = 0, bytes = 0, inactive = 0, inactive_bytes = 0;
    const std::vector<MemorySegment> segments = device.memory_segments();
    for (const MemorySegment& segment : segments) {
      large += segment.large ? 1 : 0;
      bytes += segment.bytes;
      const bool used = std::ranges::any_of(
          segment.blocks, [](const MemoryBlock& block) { return block.state == MemoryState::live; });
      for (const MemoryBlock& block : segment.blocks) {
        if (!used || block.state == MemoryState::live) continue;
        ++inactive;
        inactive_bytes += block.bytes;
      }
    }
    ASSERT_EQ(found.segments.all.current, segments.size());
    ASSERT_EQ(found.segments.large.current, large);
    ASSERT_EQ(found.segments.small.current, segments.size() - large);
    ASSERT_EQ(found.segment_bytes.all.current, bytes);
    ASSERT_EQ(found.inactive_split.all.current, inactive);
    ASSERT_EQ(found.inactive_split_bytes.all.current, inactive_bytes);
    ASSERT_EQ(found.segment_bytes.all.allocated - found.segment_bytes.all.freed, bytes);
    most = std::max(most, found.segments.all.current);
    most_bytes = std::max(most_bytes, bytes);
    ASSERT_GE(found.segments.all.peak, most);
    ASSERT_EQ(found.segment_bytes.all.peak, device.memory().peak_committed);
  }
}

TEST(MemoryStatistics, OfManyThreadsAreExactAtBarriers) {
  const std::uint64_t seed = seed_of_run();
  Device device = create_test_device();
  std::vector<Model> models(8);
  std::vector<std::vector<std::pair<void*, std::size_t>>> live(8);
  for (int phase = 0; phase < 4; ++phase) {
    on_threads(8, [&](int number) {
      const auto me = static_cast<std::size_t>(number);
      Random random(seed, static_cast<std::uint64_t>(phase * 8 + number));
      for (std::size_t step = 0; step < scaled(3000, 20); ++step) {
        if (live[me].size() < 20 && random.below(2) == 0) {
          const std::size_t size = exact_size(random);
          live[me].emplace_back(device.allocate(size), size);
          models[me].allocate(size);
        } else if (!live[me].empty()) {
          device.deallocate(live[me].back().first);
          models[me].free(live[me].back().second);
          live[me].pop_back();
        }
      }
    });
    const MemoryStatistics found = device.memory_statistics();
    Model sum;
    for (const Model& model : models) {
      for (auto [to, from] : {std::pair{&sum.count, &model.count}, std::pair{&sum.bytes, &model.bytes}}) {
        for (auto member : {&MemoryFigures::all, &MemoryFigures::small, &MemoryFigures::large}) {
          (to->*member).current += (from->*member).current;
          (to->*member).allocated += (from->*member).allocated;
        }
      }
    }
    for (auto member : {&MemoryFigures::all, &MemoryFigures::small, &MemoryFigures::large}) {
      EXPECT_EQ((found.allocations.*member).current, (sum.count.*member).current);
      EXPECT_EQ((found.allocations.*member).allocated, (sum.count.*member).allocated);
      EXPECT_EQ((found.allocated_bytes.*member).current, (sum.bytes.*member).current);
      EXPECT_EQ((found.allocated_bytes.*member).allocated, (sum.bytes.*member).allocated);
      EXPECT_GE((found.allocated_bytes.*member).peak, (sum.bytes.*member).current);
    }
  }
  for (const auto& blocks : live) {
    for (const auto& [address, size] : blocks) device.deallocate(address);
  }
}

}  // namespace
}  // namespace millrace::test
