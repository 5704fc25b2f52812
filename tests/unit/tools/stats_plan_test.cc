// Cutting files into work: every element once, nothing past a limit, the same cuts for everyone.
#include "stats_plan.h"

#include <gtest/gtest.h>

#include <millrace/reduction.h>

#include "random.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

constexpr std::uint64_t round_up_to_places(std::uint64_t bytes) {
  return (bytes + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
}

TensorEntry tensor_at(std::uint64_t offset, DType dtype, std::vector<std::int64_t> shape) {
  TensorEntry entry;
  entry.dtype = dtype;
  entry.shape = std::move(shape);
  entry.offset = offset;
  entry.bytes = *checked_bytes(entry.shape, size_of(dtype));
  return entry;
}

std::vector<TensorFile> random_files(Random& random) {
  std::vector<TensorFile> files(1 + random.below(3));
  for (TensorFile& file : files) {
    std::uint64_t offset = 96 + random.below(16);
    for (std::uint64_t i = 0, n = random.below(12); i < n; ++i) {
      std::vector<std::int64_t> shape(random.below(4));
      for (std::int64_t& size : shape) {
        size = static_cast<std::int64_t>(random.one_in(20) ? 0 : random.log_uniform(1, 20'000));
      }
      while (checked_bytes(shape, 8).value_or(1 << 30) > 16 * kMiB) shape.pop_back();
      file.tensors.push_back(tensor_at(offset, static_cast<DType>(random.below(kDTypeCount)), shape));
      file.tensors.back().fortran_order = random.one_in(3);
      offset += file.tensors.back().bytes;
    }
  }
  return files;
}

std::optional<std::int64_t> random_dim(Random& random) {
  if (random.one_in(3)) return std::nullopt;
  return static_cast<std::int64_t>(random.below(6)) - 3;
}

TEST(StatsPlan, EveryElementIsInOnePieceInOrder) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const std::vector<TensorFile> files = random_files(random);
    const StatsPlan plan = plan_stats(files, {random.one_in(2), random_dim(random), {}});
    std::size_t piece = 0;
    std::size_t tensor = 0;
    std::uint64_t total = 0;
    for (const TensorFile& file : files) {
      for (const TensorEntry& entry : file.tensors) {
        for (std::uint64_t done = 0; done < entry.bytes; ++piece) {
          ASSERT_LT(piece, plan.pieces.size());
          const Piece& p = plan.pieces[piece];
          EXPECT_EQ(p.tensor, tensor);
          EXPECT_EQ(p.offset, entry.offset + done);
          EXPECT_EQ(p.bytes, p.outer * p.channels * p.inner * size_of(entry.dtype));
          EXPECT_GT(p.bytes, 0U);
          EXPECT_LE(p.bytes, kPieceBytes);
          done += p.bytes;
        }
        total += entry.bytes;
        ++tensor;
      }
    }
    EXPECT_EQ(piece, plan.pieces.size());
    EXPECT_EQ(plan.bytes, total);
  }
}

TEST(StatsPlan, APieceKnowsItsChannels) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const std::vector<TensorFile> files = random_files(random);
    const StatsPlan plan = plan_stats(files, {true, random_dim(random), {}});
    std::size_t tensor = 0;
    std::vector<const TensorEntry*> entries;
    for (const TensorFile& file : files) {
      for (const TensorEntry& entry : file.tensors) entries.push_back(&entry);
    }
    for (const Piece& piece : plan.pieces) {
      tensor = piece.tensor;
      const Split& split = plan.splits[tensor];
      const std::uint64_t first = (piece.offset - entries[tensor]->offset) / size_of(entries[tensor]->dtype);
      EXPECT_EQ(first / split.inner % split.channels, piece.first_channel);
      EXPECT_LE(piece.first_channel + piece.channels, split.channels);
      EXPECT_TRUE(piece.outer == 1 || piece.channels == split.channels) << "else the elements are not dense";
      EXPECT_TRUE(piece.outer * piece.channels == 1 || piece.inner == split.inner);
    }
  }
}

TEST(StatsPlan, BatchesStayWithinWhatTheyMayCopy) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const std::vector<TensorFile> files = random_files(random);
    const bool in_place = random.one_in(2);
    const std::uint64_t copied = random.one_in(2) ? kCopiedBytes : 3 * kMiB;
    const StatsPlan plan = plan_stats(files, {in_place, random_dim(random), {}, 1, copied});
    EXPECT_LE(plan.buffer_bytes, copied);
    EXPECT_LE(results_bytes(plan), round_up_to_places(kPieceChannels * sizeof(Statistics)));
    std::size_t next = 0;
    for (const Batch& batch : plan.batches) {
      EXPECT_EQ(batch.first_piece, next);
      EXPECT_GT(batch.pieces, 0U);
      EXPECT_LE(batch.results, plan.results);
      std::uint64_t end = 0;
      std::uint64_t bytes = 0;
      std::size_t results = 0;
      for (std::size_t p = next; p < next + batch.pieces; ++p) {
        const Piece& piece = plan.pieces[p];
        EXPECT_EQ(piece.offset, batch.offset + bytes) << "a batch is one range of the file";
        EXPECT_EQ(piece.result, results);
        bytes += piece.bytes;
        results += piece.channels;
        if (piece.in_place) {
          EXPECT_TRUE(in_place);
          continue;
        }
        EXPECT_GE(piece.place, end) << "pieces of a batch do not overlap";
        EXPECT_EQ(piece.place % kPieceAlignment, 0U);
        end = piece.place + piece.bytes;
      }
      EXPECT_EQ(bytes, batch.bytes);
      EXPECT_EQ(results, batch.results);
      EXPECT_LE(end, plan.buffer_bytes);
      next += batch.pieces;
    }
    EXPECT_EQ(next, plan.pieces.size());
  }
}

TEST(StatsPlan, CutsDoNotDependOnHowPiecesAreRead) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    const std::vector<TensorFile> files = random_files(random);
    const auto dim = random_dim(random);
    const StatsPlan in_place = plan_stats(files, {true, dim, {}});
    const StatsPlan copied = plan_stats(files, {false, dim, {}, 16, 2 * kMiB});
    ASSERT_EQ(in_place.pieces.size(), copied.pieces.size());
    for (std::size_t p = 0; p < copied.pieces.size(); ++p) {
      EXPECT_EQ(in_place.pieces[p].offset, copied.pieces[p].offset);
      EXPECT_EQ(in_place.pieces[p].bytes, copied.pieces[p].bytes);
    }
  }
}

TEST(StatsPlan, TensorsThatAreKnownHaveNoPieces) {
  std::vector<TensorFile> files(1);
  files[0].tensors = {tensor_at(0, DType::f32, {8}), tensor_at(32, DType::f32, {8}),
                      tensor_at(64, DType::f32, {8})};
  const StatsPlan plan = plan_stats(files, {true, std::nullopt, {false, true, false}});
  ASSERT_EQ(plan.pieces.size(), 2U);
  EXPECT_EQ(plan.pieces[0].tensor, 0U);
  EXPECT_EQ(plan.pieces[1].tensor, 2U);
  EXPECT_EQ(plan.batches.size(), 2U) << "what lies between is not read";
  EXPECT_EQ(plan.splits.size(), 3U);
}

TEST(StatsPlan, DeflatedTensorsHaveNoPiecesAndTheLargestIsFirst) {
  std::vector<TensorFile> files(1);
  for (const std::int64_t elements : {100, 200, 300, 7}) {
    files[0].tensors.push_back(tensor_at(0, DType::f32, {elements}));
  }
  files[0].tensors[0].deflated = files[0].tensors[2].deflated = files[0].tensors[3].deflated = Deflated{};
  const StatsPlan plan = plan_stats(files, {false, std::nullopt, {false, false, false, true}});
  ASSERT_EQ(plan.pieces.size(), 1U);
  EXPECT_EQ(plan.pieces[0].tensor, 1U);
  ASSERT_EQ(plan.deflated.size(), 2U) << "the last one is known";
  EXPECT_EQ(plan.deflated[0].tensor, 2U);
  EXPECT_EQ(plan.deflated[1].tensor, 0U);
  EXPECT_EQ(plan.bytes, 2400U);
  EXPECT_EQ(plan.buffer_bytes, 1536U);
}

TEST(PieceCutter, AClaimThatNoMemoryHoldsCostsNothing) {
  TensorEntry entry = tensor_at(0, DType::u8, {1 << 22, std::int64_t{1} << 40});
  entry.deflated = Deflated{};
  for (const std::optional<std::int64_t> dim :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(0)}) {
    PieceCutter cutter(entry, split_tensor(entry, dim));
    EXPECT_EQ(cutter.next()->bytes, kPieceBytes);
    EXPECT_EQ(cutter.next()->offset, kPieceBytes);
    std::vector<TensorFile> files(1);
    files[0].tensors = {entry};
    EXPECT_LE(plan_stats(files, {false, dim, {}}).buffer_bytes, kCopiedBytes);
  }
}

TEST(StatsPlan, MisalignedElementsAreCopied) {
  std::vector<TensorFile> files(1);
  files[0].tensors = {tensor_at(101, DType::f32, {8}), tensor_at(133, DType::u8, {8})};
  const StatsPlan plan = plan_stats(files, {true, std::nullopt, {}});
  EXPECT_FALSE(plan.pieces[0].in_place);
  EXPECT_TRUE(plan.pieces[1].in_place);
  EXPECT_EQ(plan.buffer_bytes, kPieceAlignment);
}

TEST(StatsPlan, ManyChannelsAreCutEvenly) {
  std::vector<TensorFile> files(1);
  files[0].tensors = {tensor_at(0, DType::bf16, {4, 8200})};
  const StatsPlan plan = plan_stats(files, {true, 1, {}});
  ASSERT_EQ(plan.pieces.size(), 8U);
  for (const Piece& piece : plan.pieces) EXPECT_EQ(piece.channels, 4100U);
}

TEST(StatsPlan, WorkersFitTheLimit) {
  EXPECT_EQ(fitting_workers(64 * kMiB, 4, 5120), 4);
  EXPECT_EQ(fitting_workers(4 * kMiB, 4, 5120), 2);
  EXPECT_EQ(fitting_workers(4 * kMiB, 4, 2 * kMiB + 1), 1);
  EXPECT_EQ(fitting_workers(1, 4, 5120), 1) << "one that fails says what memory there is";
  EXPECT_EQ(fitting_workers(64 * kMiB, 4, 0), 4);
}

}  // namespace
}  // namespace millrace::tool
