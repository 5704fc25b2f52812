// An arena over addresses that nobody may touch, with timelines that the test moves.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>

#include "memory/arena.h"
#include "support/counting_memory.h"

namespace millrace {

class ArenaFixture : public testing::Test {
 protected:
  struct Streams final : ArenaHost {
    Timeline timelines[4];
    std::map<QueueId, std::uint64_t> done, told;
    int hidden = 0;
    const Timeline& timeline(int slot) const noexcept override { return timelines[slot]; }
    bool reached(const TimelinePoint& point) noexcept override {
      if (!ended(point)) return false;
      told[point.queue] = std::max(told[point.queue], point.value);
      return true;
    }
    bool ended(const TimelinePoint& point) const noexcept override {
      const auto found = done.find(point.queue);
      return point.value == 0 || (found != done.end() && point.value <= found->second);
    }
    void hide(const Block&) noexcept override { ++hidden; }
  };

  static constexpr std::size_t kGranule = 256 * kKiB;

  static Geometry small_geometry() {
    Geometry geometry;
    geometry.granule = kGranule;
    geometry.small_limit = 64 * kKiB;
    geometry.large_unit = 16 * kKiB;
    geometry.heap_bytes = 64 * kGranule;
    geometry.magazine_bytes = 256 * kKiB;
    geometry.magazine_blocks = 8;
    geometry.refill_bytes = 64 * kKiB;
    geometry.refill_blocks = 4;
    geometry.unsent_blocks = 4;
    geometry.bins_bytes = 512 * kKiB;
    return geometry;
  }

  BlockRequest request(std::size_t bytes) const {
    BlockRequest made;
    made.large = bytes > geometry_.small_limit;
    const std::size_t unit = made.large ? geometry_.large_unit : geometry_.small_unit;
    made.alignment = unit;
    if (made.large) {
      made.size = round_up(bytes, unit);
    } else {
      made.size_class = static_cast<std::uint8_t>(SizeClass::of((bytes + unit - 1) / unit));
      made.size = SizeClass::units(static_cast<int>(made.size_class)) * unit;
    }
    return made;
  }
  /// A block as a caller has it.
  Block& live(Arena& arena, std::size_t bytes) {
    Block* block = arena.take(request(bytes), false);
    if (block == nullptr) {
      EXPECT_TRUE(arena.grow(request(bytes)).ok());
      block = arena.take(request(bytes), false);
    }
    block->set_state(BlockState::live);
    return *block;
  }
  static std::uint64_t generation(const Block& block) {
    return BlockWord::generation(block.word.load(std::memory_order_relaxed));
  }
  std::size_t bytes_in(Arena& arena, BlockState state) {
    std::size_t bytes = 0;
    arena.for_each_block([&](const Block& block) { bytes += block.state() == state ? block.size : 0; });
    return bytes;
  }

  const Geometry geometry_ = small_geometry();
  test::AddressesOnly backend_{kGranule};
  Limit limit_{32 * kGranule};
  HeapSource source_{backend_, limit_};
  PageMap map_{geometry_};
  Streams streams_;
  Arena arena_{0, ArenaUse::stream, geometry_, source_, map_, streams_};
  Arena other_{1, ArenaUse::stream, geometry_, source_, map_, streams_};
};

}  // namespace millrace
