// Threads that stage, copy and free pinned memory without waiting.
#pragma once

#include <gtest/gtest.h>
#include <millrace/device.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/pattern.h"
#include "support/random.h"
#include "support/threads.h"

namespace millrace::test {

struct Staging {
  int threads = 1;
  std::size_t most = 0;  ///< bytes of a copy
  std::size_t rounds = 0;
};

/// A4: what the device got must be what was staged.
inline void stage_and_check(Device& device, const Staging& staging) {
  constexpr std::size_t kSlots = 8;
  const std::uint64_t seed = seed_of_run();
  on_threads(staging.threads, [&](int number) {
    Random random(seed, static_cast<std::uint64_t>(number));
    // Half of them share a stream, so that blocks go from thread to thread.
    Stream stream = number % 2 == 0 ? device.default_stream() : device.stream();
    std::vector<Buffer> slots;
    for (std::size_t i = 0; i < kSlots; ++i) slots.push_back(device.buffer(stream, staging.most));
    for (std::size_t round = 0; round < staging.rounds; ++round) {
      std::size_t sizes[kSlots];
      for (std::size_t i = 0; i < kSlots; ++i) {
        sizes[i] = random.log_uniform(8, staging.most);
        const Buffer staged = device.pinned_buffer(stream, sizes[i]);
        write_pattern(staged.data(), sizes[i], round * kSlots + i);
        stream.copy(slots[i].data(), staged.data(), sizes[i]);
        if (random.one_in(3)) stream.commit();
      }
      const Buffer back = device.pinned_buffer(stream, staging.most);
      const std::size_t looked_at = random.below(kSlots);
      stream.copy(back.data(), slots[looked_at].data(), sizes[looked_at]);
      stream.wait();
      ASSERT_TRUE(has_pattern(back.data(), sizes[looked_at], round * kSlots + looked_at));
      if (random.one_in(50)) device.trim();
    }
  });
  device.synchronize();
  EXPECT_EQ(device.memory(MemoryKind::pinned).live, 0U);
  device.check_accounting();
  device.trim();
  EXPECT_EQ(device.memory(MemoryKind::pinned).committed, 0U);
}

}  // namespace millrace::test
