// Cutting files into work: every element once, nothing past a limit.
#include "stats_plan.h"

#include <gtest/gtest.h>

#include "random.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kGranule = 2 * kMiB;

TensorEntry tensor_at(std::uint64_t offset, DType dtype, std::int64_t elements) {
  TensorEntry entry;
  entry.dtype = dtype;
  entry.shape = {elements};
  entry.offset = offset;
  entry.bytes = static_cast<std::uint64_t>(elements) * size_of(dtype);
  return entry;
}

std::vector<TensorFile> random_files(Random& random) {
  std::vector<TensorFile> files(1 + random.below(3));
  for (TensorFile& file : files) {
    std::uint64_t offset = 100;
    for (std::uint64_t i = 0, n = random.below(20); i < n; ++i) {
      const auto dtype = static_cast<DType>(random.below(kDTypeCount));
      const auto elements = static_cast<std::int64_t>(random.one_in(5) ? 0 : random.log_uniform(1, 50'000));
      file.tensors.push_back(tensor_at(offset, dtype, elements));
      offset += file.tensors.back().bytes;
    }
  }
  return files;
}

TEST(StatsPlan, EveryElementIsInOnePieceInOrder) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const std::vector<TensorFile> files = random_files(random);
    const BatchLimits limits{512 * (1 + random.below(64)), 1 + random.below(8)};
    const StatsPlan plan = plan_stats(files, limits);
    std::size_t piece = 0;
    std::size_t tensor = 0;
    std::uint64_t total = 0;
    for (const TensorFile& file : files) {
      for (const TensorEntry& entry : file.tensors) {
        for (std::uint64_t done = 0; done < entry.bytes; ++piece) {
          ASSERT_LT(piece, plan.pieces.size());
          EXPECT_EQ(plan.pieces[piece].tensor, tensor);
          EXPECT_EQ(plan.pieces[piece].offset, entry.offset + done);
          EXPECT_EQ(plan.pieces[piece].bytes % size_of(entry.dtype), 0U);
          EXPECT_GT(plan.pieces[piece].bytes, 0U);
          done += plan.pieces[piece].bytes;
        }
        total += entry.bytes;
        ++tensor;
      }
    }
    EXPECT_EQ(piece, plan.pieces.size());
    EXPECT_EQ(plan.bytes, total);
  }
}

TEST(StatsPlan, DeflatedTensorsHaveNoPieces) {
  std::vector<TensorFile> files(1);
  files[0].tensors = {tensor_at(0, DType::f32, 100), tensor_at(0, DType::f32, 100),
                      tensor_at(400, DType::f32, 7)};
  files[0].tensors[1].deflated = Deflated{};
  const StatsPlan plan = plan_stats(files, {kMiB, 64});
  ASSERT_EQ(plan.pieces.size(), 2U);
  EXPECT_EQ(plan.pieces[0].tensor, 0U);
  EXPECT_EQ(plan.pieces[1].tensor, 2U);
  EXPECT_EQ(plan.bytes, 428U);
}

TEST(StatsPlan, BatchesStayWithinTheirLimits) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const std::vector<TensorFile> files = random_files(random);
    const BatchLimits limits{512 * (1 + random.below(64)), 1 + random.below(8)};
    const StatsPlan plan = plan_stats(files, limits);
    std::size_t next = 0;
    for (const Batch& batch : plan.batches) {
      EXPECT_EQ(batch.first_piece, next);
      EXPECT_GT(batch.pieces, 0U);
      EXPECT_LE(batch.pieces, limits.pieces);
      std::uint64_t end = 0;
      for (std::size_t p = next; p < next + batch.pieces; ++p) {
        EXPECT_GE(plan.pieces[p].place, end) << "pieces of a batch do not overlap";
        EXPECT_EQ(plan.pieces[p].place % kPieceAlignment, 0U);
        end = plan.pieces[p].place + plan.pieces[p].bytes;
      }
      EXPECT_LE(end, limits.bytes);
      EXPECT_LE(end, plan.buffer_bytes);
      EXPECT_LE(plan.buffer_bytes, limits.bytes);
      next += batch.pieces;
    }
    EXPECT_EQ(next, plan.pieces.size());
  }
}

TEST(StatsPlan, WorkersFitTheLimitWithAGranuleToSpare) {
  constexpr std::uint64_t kResults = 5120;
  for (const std::uint64_t limit :
       {2 * kMiB, 3 * kMiB, 4 * kMiB, 5 * kMiB, 7 * kMiB, 16 * kMiB, 64 * kMiB, 1024 * kMiB}) {
    for (const int threads : {1, 2, 3, 8, 64}) {
      const WorkerBudget budget = budget_workers(limit, threads, kResults);
      EXPECT_GE(budget.threads, 1);
      EXPECT_LE(budget.threads, threads);
      EXPECT_GT(budget.buffer_bytes, kPieceAlignment);
      // The device commits whole granules.
      const std::uint64_t granules = (budget.buffer_bytes + kResults + kGranule - 1) / kGranule;
      EXPECT_LE(static_cast<std::uint64_t>(budget.threads) * granules * kGranule, limit)
          << limit << " with " << threads;
    }
  }
}

TEST(StatsPlan, MoreMemoryIsNotLessWork) {
  EXPECT_EQ(budget_workers(64 * kMiB, 4, 0).threads, 4);
  EXPECT_EQ(budget_workers(4 * kMiB, 4, 0).threads, 1);
  EXPECT_EQ(budget_workers(8 * kMiB, 4, 0).threads, 2);
  EXPECT_GE(budget_workers(64 * kMiB, 1, 0).buffer_bytes, budget_workers(8 * kMiB, 1, 0).buffer_bytes);
}

}  // namespace
}  // namespace millrace::tool
