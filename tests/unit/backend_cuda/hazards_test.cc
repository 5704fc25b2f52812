// Which operations may run in any order, against comparing all ranges with all others.
#include "backends/cuda/reduce/hazards.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "support/random.h"
#include "support/scale.h"

namespace millrace::cuda {
namespace {

constexpr std::uintptr_t kMemory = 0x7f0000000000;

Bytes range(std::uintptr_t from, std::uintptr_t bytes) {
  return {kMemory + from, kMemory + from + bytes};
}

class CudaHazards : public testing::Test {
 protected:
  bool takes(const Bytes& read, const Bytes& written, const Bytes& scratch = {}) {
    const Touched touched{read, written, scratch};
    if (!hazards_->allows(touched)) return false;
    hazards_->add(touched);
    return true;
  }

  const std::unique_ptr<Hazards> hazards_ = std::make_unique<Hazards>();
};

TEST_F(CudaHazards, ReadersOfTheSameGoTogether) {
  for (std::uintptr_t i = 0; i < 200; ++i) EXPECT_TRUE(takes(range(0, 16'384), range(1 << 20 | i * 4, 4)));
}

TEST_F(CudaHazards, ReadAfterWriteByTheByte) {
  EXPECT_TRUE(takes(range(0, 1024), range(5000, 8)));
  EXPECT_TRUE(takes(range(4000, 1000), range(6000, 8)));  // up to where the output begins
  EXPECT_TRUE(takes(range(5008, 100), range(7000, 8)));   // from where it ends
  EXPECT_FALSE(takes(range(4000, 1001), range(8000, 8)));
  EXPECT_FALSE(takes(range(5007, 100), range(8000, 8)));
  EXPECT_FALSE(takes(range(4000, 4000), range(9000, 8)));
}

TEST_F(CudaHazards, WriteAfterReadByTheByte) {
  EXPECT_TRUE(takes(range(5000, 1000), range(100'000, 8)));
  EXPECT_TRUE(takes(range(200'000, 8), range(4992, 8)));
  EXPECT_TRUE(takes(range(200'000, 8), range(6000, 8)));
  EXPECT_FALSE(takes(range(200'000, 8), range(4993, 8)));
  EXPECT_FALSE(takes(range(200'000, 8), range(5999, 8)));
}

TEST_F(CudaHazards, WriteAfterWriteByTheByte) {
  EXPECT_TRUE(takes(range(0, 8), range(5000, 8)));
  EXPECT_TRUE(takes(range(0, 8), range(4992, 8)));
  EXPECT_TRUE(takes(range(0, 8), range(5008, 8)));
  EXPECT_FALSE(takes(range(0, 8), range(5001, 8)));
  EXPECT_FALSE(takes(range(0, 8), range(4984, 9)));
}

TEST_F(CudaHazards, LargeOutputsAndSmallOnes) {
  EXPECT_TRUE(takes(range(0, 8), range(1 << 20, 1 << 16)));
  EXPECT_FALSE(takes(range(0, 8), range((1 << 20) + 777, 4)));
  EXPECT_TRUE(takes(range(0, 8), range((1 << 20) - 4, 4)));
  EXPECT_FALSE(takes(range(0, 8), range((1 << 20) - (1 << 15), 1 << 15)));
  EXPECT_TRUE(takes(range(0, 8), range((1 << 20) + (1 << 16), 1 << 16)));
}

TEST_F(CudaHazards, ScratchIsWritten) {
  EXPECT_TRUE(takes(range(0, 8), range(5000, 8), range(1 << 20, 4096)));
  EXPECT_FALSE(takes(range(0, 8), range(6000, 8), range((1 << 20) + 4095, 4096)));
  EXPECT_FALSE(takes(range((1 << 20) + 100, 8), range(6000, 8)));
  EXPECT_TRUE(takes(range(0, 8), range(6000, 8), range((1 << 20) + 4096, 4096)));
}

TEST_F(CudaHazards, NothingIsLeftOfASet) {
  EXPECT_TRUE(takes(range(0, 1024), range(5000, 8)));
  hazards_->clear();
  EXPECT_TRUE(takes(range(5000, 8), range(0, 8)));
}

TEST_F(CudaHazards, BlocksOfTheAllocatorFillASet) {
  int taken = 0;
  while (takes(range(0, 16'384), range((1 << 20) + static_cast<std::uintptr_t>(taken) * 512, 256))) ++taken;
  EXPECT_EQ(taken, Hazards::kMostOperations);
}

TEST_F(CudaHazards, NeverMissAConflict) {
  test::Random random(1);
  const auto some = [&](bool may_be_empty) {
    if (may_be_empty && random.one_in(3)) return Bytes();
    return range(random.below(40'000), random.log_uniform(1, random.one_in(8) ? 20'000 : 256));
  };
  std::size_t allowed = 0;
  for (std::size_t i = 0; i < test::scaled(1000); ++i) {
    hazards_->clear();
    std::vector<Touched> set;
    for (int k = 0; k < 40; ++k) {
      const Touched touched{some(true), some(false), some(true)};
      if (touched.written.meets(touched.scratch)) continue;
      bool conflicts = false;
      for (const Touched& other : set) {
        for (const Bytes& written : {touched.written, touched.scratch}) {
          for (const Bytes& theirs : {other.read, other.written, other.scratch})
            conflicts = conflicts || written.meets(theirs);
        }
        for (const Bytes& theirs : {other.written, other.scratch})
          conflicts = conflicts || touched.read.meets(theirs);
      }
      if (!hazards_->allows(touched)) continue;
      ASSERT_FALSE(conflicts) << "set " << i << ", operation " << k;
      hazards_->add(touched);
      set.push_back(touched);
      ++allowed;
    }
  }
  EXPECT_GT(allowed, 3 * test::scaled(1000));
}

}  // namespace
}  // namespace millrace::cuda
