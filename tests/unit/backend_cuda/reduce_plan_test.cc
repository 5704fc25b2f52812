// How reductions are cut: which regime takes a shape, and that the ways and steps of a plan meet every
// element once. Runs without a device.
#include "backends/cuda/reduce/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "backends/cuda/reduce/cut_splits.h"
#include "backends/cuda/reduce/variants.h"
#include "reduce/plan.h"
#include "support/random.h"
#include "support/scale.h"

namespace millrace::cuda {
namespace {

constexpr int kWarp = 32;
constexpr std::uintptr_t kInput = 1 << 20;  // nobody reads it

ReducePlan plan_of(ReduceOp op, DType dtype, const Dims& shape, const Dims& strides,
                   const std::vector<std::int64_t>& dims, std::int64_t offset = 0) {
  const auto at = kInput + static_cast<std::uintptr_t>(offset) * size_of(dtype);
  const TensorView input{reinterpret_cast<void*>(at), dtype, shape, strides};
  const TensorView output = contiguous(reinterpret_cast<void*>(std::uintptr_t{1} << 50),
                                       result_dtype(op, dtype), result_shape(shape, dims, false));
  return plan_reduce(std::get<ReduceWork>(reduction_operation(op, input, output, dims).work));
}

ReducePlan plan_of(DType dtype, const Dims& shape, const std::vector<std::int64_t>& dims) {
  return plan_of(ReduceOp::sum, dtype, shape, contiguous_strides(shape), dims);
}

TEST(CudaReducePlan, ShapesAndTheirRegimes) {
  constexpr std::int64_t kMany = 1 << 20;
  EXPECT_EQ(plan_of(DType::f32, Dims{kMany}, {}).regime, Regime::whole);
  EXPECT_EQ(plan_of(DType::f32, Dims{16'384, 16'384}, {1}).regime, Regime::dense);
  EXPECT_EQ(plan_of(DType::bf16, Dims{kMany, 256}, {1}).regime, Regime::rows);
  EXPECT_EQ(plan_of(DType::bf16, Dims{kMany, 17}, {1}).regime, Regime::rows);
  EXPECT_EQ(plan_of(DType::f32, Dims{256, kMany}, {0}).regime, Regime::lanes);
  EXPECT_EQ(plan_of(DType::f32, Dims{256, kMany + 1}, {0}).regime, Regime::columns);
  EXPECT_EQ(plan_of(DType::f16, Dims{64, 1024, 64, 64}, {0, 2}).regime, Regime::lanes);
  EXPECT_EQ(plan_of(DType::f16, Dims{64, 1024, 64, 64}, {1, 3}).regime, Regime::vectors);
  EXPECT_EQ(plan_of(DType::f16, Dims{64, 1023, 63, 61}, {1, 3}).regime, Regime::vectors);
  EXPECT_EQ(plan_of(DType::f32, Dims{kMany, 3}, {0}).regime, Regime::elements);
  EXPECT_EQ(plan_of(DType::f32, Dims{16, kMany << 4}, {0}).regime, Regime::few);
  EXPECT_EQ(plan_of(DType::bf16, Dims{kMany, 7}, {1}).regime, Regime::few);
  // Of other types there are dense and elements.
  EXPECT_EQ(plan_of(DType::i32, Dims{256, kMany}, {0}).regime, Regime::elements);
  EXPECT_EQ(plan_of(DType::u8, Dims{kMany, 256}, {1}).regime, Regime::dense);
}

TEST(CudaReducePlan, OutputsOfFewElementsTakeWidestLoads) {
  constexpr std::int64_t kMany = 1 << 20;
  EXPECT_EQ(plan_of(DType::f32, Dims{8, kMany, 4}, {0}).lanes, 4);
  EXPECT_EQ(plan_of(DType::bf16, Dims{8, kMany, 4}, {0}).lanes, 8);
  EXPECT_EQ(plan_of(DType::bf16, Dims{kMany, 5, 6}, {1}).lanes, 2);
  EXPECT_EQ(plan_of(DType::bf16, Dims{kMany, 5, 7}, {1}).lanes, 1);
  const ReducePlan pairs = plan_of(DType::bf16, Dims{kMany, 5, 6}, {1});
  EXPECT_EQ(pairs.outer_count, kMany * 3);
  EXPECT_EQ(pairs.steps, 5);
}

TEST(CudaReducePlan, FewOutputsAreSplitAndManyAreNot) {
  const ReducePlan whole = plan_of(DType::f32, Dims{1 << 28}, {});
  EXPECT_EQ(whole.tiles, 1);
  EXPECT_GT(whole.splits, 100);
  EXPECT_EQ(whole.blocks, whole.splits);
  EXPECT_EQ(plan_of(DType::f32, Dims{1024}, {}).splits, 1);
  const ReducePlan small = plan_of(DType::f32, Dims{100'003}, {});
  EXPECT_EQ(small.regime, Regime::whole);
  EXPECT_GT(small.splits, 1);
  EXPECT_LE(small.splits, kWholeBlocks);
  EXPECT_GE(small.splits * small.split_size, 100'003);
  EXPECT_LT((small.splits - 1) * small.split_size, 100'003);
  const ReducePlan many = plan_of(DType::f32, Dims{1 << 20, 256}, {1});
  EXPECT_EQ(many.splits, 1);
  EXPECT_LT(many.blocks, many.tiles);
}

TEST(CudaReducePlan, FullSumsAreSpreadAsTheyAreBuilt) {
  for (const std::int64_t elements : {4'096, 16'384}) {
    const ReducePlan plan = plan_of(DType::f32, Dims{elements}, {});
    EXPECT_EQ(plan.blocks, elements / 4096) << "of whichever variant";
    EXPECT_EQ(plan.threads, elements == 4096 && kHasThinWholes ? kWholeThreads : 256);
  }
  const ReducePlan medium = plan_of(DType::f32, Dims{65'536}, {});
  EXPECT_EQ(medium.blocks, kHasFineWholes ? 32 : 16);
  EXPECT_EQ(medium.threads, 256 / (kHasFineWholes ? 2 : 1) * (kHasWideWholes ? 2 : 1));
  const ReducePlan large = plan_of(DType::f32, Dims{1 << 24}, {});
  EXPECT_LE(large.blocks, kWholeBlocks);
  EXPECT_EQ(large.threads, kWholeThreads);
}

/// Where the elements of an output begin, and where it is written, for the output that is counted so.
struct Place {
  std::int64_t input = 0, output = 0;
};

Place place_of(const ReducePlan& plan, std::int64_t number) {
  Place place;
  for (int i = 0; i < plan.kept_rank; ++i) {
    const std::int64_t index = i + 1 < plan.kept_rank ? number % plan.kept[i].size : number;
    place.input += index * plan.kept[i].stride;
    place.output += index * plan.kept[i].other;
    number /= plan.kept[i].size;
  }
  return place;
}

/// Each output once, from its own elements, for results [rows, columns] whose elements are at
/// row * row_stride + column * column_stride.
void expect_places(const ReducePlan& plan, std::int64_t columns, std::int64_t row_stride,
                   std::int64_t column_stride) {
  std::vector<bool> seen(static_cast<std::size_t>(plan.kept_count));
  for (std::int64_t number = 0; number < plan.kept_count; ++number) {
    const Place place = place_of(plan, number);
    ASSERT_GE(place.output, 0);
    ASSERT_LT(place.output, plan.kept_count);
    ASSERT_FALSE(seen[static_cast<std::size_t>(place.output)]) << place.output;
    seen[static_cast<std::size_t>(place.output)] = true;
    ASSERT_EQ(place.input, place.output / columns * row_stride + place.output % columns * column_stride);
  }
}

TEST(CudaReducePlan, ResultsOfTransposedInputsAreWrittenTogether) {
  const ReducePlan few =
      plan_of(ReduceOp::max, DType::bf16, Dims{119, 2, 4704}, Dims{1, 119 * 4704, 119}, {1});
  EXPECT_EQ(few.regime, Regime::few);
  EXPECT_EQ(few.kept[0].size, 8) << "a divisor of 4704";
  EXPECT_EQ(few.kept[0].other, 1);
  EXPECT_EQ(few.kept[1].stride, 1);
  expect_places(few, 4704, 1, 119);
  const ReducePlan rows = plan_of(ReduceOp::max, DType::f16, Dims{16, 1249, 210}, Dims{1, 16, 19'984}, {0});
  EXPECT_EQ(rows.regime, Regime::rows);
  EXPECT_EQ(rows.kept[0].size, 3) << "a divisor of 210";
  expect_places(rows, 210, 16, 19'984);
  // All of a short loop, and none of one that has no divisor.
  const ReducePlan short_loop =
      plan_of(ReduceOp::max, DType::f16, Dims{8, 20'001, 17, 7}, Dims{1, 8, 8 * 20'001 * 8, 8 * 20'001}, {0});
  EXPECT_EQ(short_loop.kept_rank, 3);
  EXPECT_EQ(short_loop.kept[0].size, 7);
  EXPECT_EQ(short_loop.kept[0].other, 1);
  EXPECT_EQ(plan_of(ReduceOp::max, DType::f16, Dims{16, 1249, 211}, Dims{1, 16, 19'984}, {0}).kept[0].stride,
            16);
  // Nor where the results lie as the input does.
  EXPECT_EQ(plan_of(DType::bf16, Dims{1 << 20, 17}, {1}).kept_rank, 1);
}

TEST(CudaReducePlan, ThreadsThatShareAnOutputReadWhatMemoryBrings) {
  // Three elements of each output between those of its neighbours, many times over: the neighbours' are read
  // with them.
  const ReducePlan close =
      plan_of(ReduceOp::max, DType::f32, Dims{3, 59'976, 56}, Dims{1, 3 * 56, 3}, {0, 1});
  EXPECT_EQ(close.regime, Regime::elements);
  EXPECT_EQ(close.ways, 3);
  EXPECT_GE(close.outer, 56);
  // Outputs that are far apart have nothing to share.
  const ReducePlan far =
      plan_of(ReduceOp::max, DType::f32, Dims{3, 59'976, 56}, Dims{1, 3 * 56 * 64, 3 * 64}, {0, 1});
  EXPECT_GT(far.ways, 3);
}

/// What the blocks of one split of a tile read at most.
std::int64_t split_bytes(const ReducePlan& plan) {
  const auto element = static_cast<std::int64_t>(size_of(plan.dtype));
  if (plan.regime == Regime::dense) return plan.split_size * element * plan.outer;
  const std::int64_t load = plan.regime == Regime::elements ? element : kVectorBytes;
  return plan.split_size * plan.inner * plan.ways * plan.outer * load;
}

TEST(CudaReducePlan, BlocksOfASplitReadEnough) {
  test::Random random(test::seed_of_run());
  EXPECT_EQ(kSplitBytes, kHasLargeSplits ? 32'768 : 16'384);
  std::size_t split = 0, short_pieces = 0;
  const std::size_t wanted = test::scaled(200, 20);
  for (std::size_t i = 0; split < wanted; ++i) {
    ASSERT_LT(i, 100 * wanted) << "hardly a case is split";
    const auto rows = static_cast<std::int64_t>(64 + random.below(8000));
    const auto columns = static_cast<std::int64_t>(8 + random.below(3000));
    const DType dtype = random.one_in(2) ? DType::f32 : DType::bf16;
    const ReducePlan plan = plan_of(dtype, Dims{rows, columns}, {random.one_in(2) ? 0 : 1});
    if (plan.splits == 1 || plan.regime == Regime::whole) continue;
    ++split;
    ASSERT_GE(split_bytes(plan), kSplitBytes) << rows << " by " << columns;
    ASSERT_LT((plan.splits - 1) * plan.split_size, plan.steps) << "a split has nothing";
    ASSERT_GE(plan.splits * plan.split_size, plan.steps);
    if (split_bytes(plan) < 2 * kSplitBytes) ++short_pieces;
  }
  EXPECT_GT(short_pieces, 0U) << "no case is cut as finely as it may be";
}

TEST(CudaReducePlan, WidthsThatGiveMultiprocessorsAsManyBlocks) {
  // 256 threads: 1,024 tiles, of which 342 blocks have three each, so that some of 132 multiprocessors have
  // three blocks and the others two. 224: 1,171 tiles in 391 blocks.
  EXPECT_EQ(even_width(262'144, 1), 224);
  EXPECT_EQ(even_width(131'072, 1), kThreads) << "256 blocks, two each";
  const ReducePlan plan = plan_of(DType::f32, Dims{256, 1 << 20}, {0});
  EXPECT_EQ(plan.regime, Regime::lanes);
  EXPECT_EQ(plan.inner, kHasEvenLanes ? 224 : kThreads);
}

TEST(CudaReducePlan, DependsOnTheWorkAlone) {
  for (int i = 0; i < 3; ++i) {
    const ReducePlan one = plan_of(DType::bf16, Dims{33, 4096, 40}, {1});
    const ReducePlan other = plan_of(DType::bf16, Dims{33, 4096, 40}, {1});
    EXPECT_EQ(one.regime, other.regime);
    EXPECT_EQ(one.splits, other.splits);
    EXPECT_EQ(one.split_size, other.split_size);
    EXPECT_EQ(one.ways, other.ways);
  }
}

/// The walk of the kernels of vectors, lanes, columns and elements, on the host.
class Walk {
 public:
  explicit Walk(const ReducePlan& plan) : plan_(plan) {
    for (std::int64_t tile = 0; tile < plan.tiles; ++tile) {
      for (std::int64_t split = 0; split < plan.splits; ++split) {
        for (int thread = 0; thread < kThreads; ++thread) walk(tile, split, thread);
      }
    }
  }

  /// How often each element is met, by its offset.
  std::unordered_map<std::int64_t, int> met;

 private:
  void walk(std::int64_t tile, std::int64_t split, int thread) {
    const int column = thread % plan_.inner, outer = thread / plan_.inner / plan_.ways;
    int way = thread / plan_.inner % plan_.ways;
    std::int64_t number = tile / plan_.inner_tiles * plan_.outer + outer;
    if (outer >= plan_.outer || number >= plan_.outer_count) return;
    std::int64_t at = 0;
    for (int i = plan_.by_columns ? 1 : 0; i < plan_.kept_rank; ++i) {
      at += number % plan_.kept[i].size * plan_.kept[i].stride;
      number /= plan_.kept[i].size;
    }
    const int lanes = lanes_at(tile % plan_.inner_tiles, column, at);
    std::int64_t vector = 0, steps = plan_.steps;
    for (int i = 0; i < plan_.covered; ++i) {
      const int size = static_cast<int>(plan_.reduced[i].size);
      if (i == 0) vector = way % size;
      at += way % size * plan_.reduced[i].stride;
      way /= size;
    }
    if (plan_.covered < plan_.reduced_rank) {
      if (plan_.covered == 0) vector = way;
      at += way * plan_.reduced[plan_.covered].stride;
      if (way >= plan_.last_part) steps = plan_.whole_steps;
    }
    const std::int64_t end = std::min({(split + 1) * plan_.split_size, plan_.steps, steps});
    for (std::int64_t step = split * plan_.split_size; step < end; ++step) take(at, vector, step, lanes);
  }

  int lanes_at(std::int64_t inner_tile, int column, std::int64_t& at) const {
    if (!plan_.by_columns) return plan_.lanes;
    std::int64_t number = inner_tile * plan_.inner + column;
    if (plan_.regime == Regime::columns) number -= inner_tile * (plan_.inner / kWarp) + column / kWarp;
    at += number * plan_.kept[0].stride;
    if (number >= plan_.kept[0].size) return 0;
    if (plan_.regime == Regime::columns && column % kWarp == kWarp - 1) return 0;
    return number + 1 == plan_.kept[0].size ? std::min(plan_.lanes, plan_.last_lanes) : plan_.lanes;
  }

  void take(std::int64_t at, std::int64_t vector, std::int64_t step, int lanes) {
    if (plan_.covered < plan_.reduced_rank) {
      const std::int64_t whole = plan_.whole_steps == plan_.steps ? plan_.parts : plan_.parts - 1;
      std::int64_t part = plan_.parts - 1, further = step - plan_.whole_steps;
      if (step < plan_.whole_steps) {
        part = step % whole;
        further = step / whole;
      }
      at += part * plan_.part * plan_.reduced[plan_.covered].stride;
      if (plan_.covered == 0) vector += part * plan_.part;
      for (int i = plan_.covered + 1; i < plan_.reduced_rank; ++i) {
        at += further % plan_.reduced[i].size * plan_.reduced[i].stride;
        further /= plan_.reduced[i].size;
      }
    }
    if (plan_.regime != Regime::vectors) {
      for (int lane = 0; lane < lanes; ++lane) ++met[at + lane];
      return;
    }
    const auto element = static_cast<std::int64_t>(size_of(plan_.dtype));
    const std::int64_t elements = kVectorBytes / element;
    const std::int64_t past =
        (static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(plan_.input)) / element + at) % elements;
    for (std::int64_t i = 0; i < elements; ++i) {
      const std::int64_t of_run = vector * elements - past + i;
      if (of_run >= 0 && of_run < plan_.run) ++met[at - past + i];
    }
  }

  const ReducePlan& plan_;
};

TEST(CudaReducePlan, EveryElementIsMetOnce) {
  test::Random random(test::seed_of_run());
  const std::size_t wanted = test::scaled(100, 5);
  std::size_t walked = 0;
  for (std::size_t i = 0; walked < wanted; ++i) {
    ASSERT_LT(i, 100 * wanted) << "hardly a case has a plan that is walked here";
    std::vector<std::int64_t> shape, strides, dims;
    std::int64_t stride = 1, count = 1;
    const auto rank = static_cast<std::int64_t>(1 + random.below(5));
    const bool gaps = random.one_in(2);
    for (std::int64_t dim = 0; dim < rank; ++dim) {
      auto size = static_cast<std::int64_t>(2 + random.below(random.one_in(3) ? 200 : 11));
      if (random.one_in(2)) size = (size + 7) / 8 * 8;
      shape.insert(shape.begin(), size);
      strides.insert(strides.begin(), stride);
      stride *= size;
      count *= size;
      if (gaps && random.one_in(3)) stride += static_cast<std::int64_t>(1 + random.below(9));
      if (random.one_in(2)) dims.push_back(dim);
    }
    if (count > 30'000 || dims.empty()) continue;
    const DType dtype = random.one_in(2) ? DType::f32 : DType::bf16;
    const ReducePlan plan = plan_of(ReduceOp::sum, dtype, Dims(shape), Dims(strides), dims,
                                    static_cast<std::int64_t>(random.below(2)));
    const auto is_other = {Regime::dense, Regime::rows, Regime::few, Regime::whole};
    if (std::find(is_other.begin(), is_other.end(), plan.regime) != is_other.end()) continue;
    ++walked;
    ASSERT_GE(plan.inner * plan.ways * plan.outer, 1);
    ASSERT_LE(plan.inner * plan.ways * plan.outer, kThreads);
    ASSERT_TRUE(plan.regime != Regime::columns || plan.inner % kWarp == 0);
    const Walk walk(plan);
    ASSERT_EQ(static_cast<std::int64_t>(walk.met.size()), count) << "case " << i;
    for (const auto& [offset, times] : walk.met) ASSERT_EQ(times, 1) << "case " << i << " at " << offset;
  }
}

TEST(CudaReducePlan, PreparedDivisions) {
  test::Random random(test::seed_of_run());
  for (std::size_t i = 0; i < test::scaled(2000); ++i) {
    const auto size = static_cast<std::int64_t>(2 + random.below(random.one_in(2) ? 100 : 3'000'000));
    const ReducePlan plan = plan_of(ReduceOp::sum, DType::i32, Dims{size, 7}, Dims{8, 1}, {1});
    const Loop& loop = plan.kept[0];
    ASSERT_EQ(loop.size, size);
    const auto number = static_cast<std::uint32_t>(random.next() >> 33);
    for (const std::uint32_t n : {number, number / loop.shift, 0x7fffffffU, 0U}) {
      const auto high = static_cast<std::uint32_t>(std::uint64_t{n} * loop.factor >> 32);
      ASSERT_EQ((high + n) >> loop.shift, n / static_cast<std::uint32_t>(size)) << n << " by " << size;
    }
  }
}

}  // namespace
}  // namespace millrace::cuda
