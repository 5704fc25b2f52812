// Two checkpoints held against each other: which tensors, which elements, by how much.
#include "compare_run.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "format_support.h"
#include "half.h"
#include "random.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

using ::testing::HasSubstr;

template <typename T, typename U>
Difference compare_values(DType first_type, const std::vector<T>& first, DType second_type,
                          const std::vector<U>& second) {
  return compare_elements(first_type, reinterpret_cast<const std::byte*>(first.data()), second_type,
                          reinterpret_cast<const std::byte*>(second.data()), first.size());
}

TEST(CompareElements, CountsAndMeasures) {
  const Difference d = compare_values<float, float>(DType::f32, {1, 2, 3, 4}, DType::f32, {1, 2, 0, 8});
  EXPECT_FALSE(d.identical);
  EXPECT_EQ(d.count, 4U);
  EXPECT_EQ(d.differing, 2U);
  EXPECT_EQ(d.max_abs, 4);
  EXPECT_EQ(d.rms(), std::sqrt(25.0 / 4));
  EXPECT_EQ(d.relative(), std::sqrt(25.0 / 30));
}

TEST(CompareElements, TellsNanAndInfinity) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const Difference d = compare_values<double, double>(DType::f64, {nan, nan, 1, inf, inf, inf, 2}, DType::f64,
                                                      {nan, 1, nan, inf, -inf, 3, 2});
  EXPECT_EQ(d.differing, 4U);
  EXPECT_EQ(d.nan_mismatch, 2U);
  EXPECT_EQ(d.inf_mismatch, 2U);
  EXPECT_EQ(d.finite, 1U);
  EXPECT_EQ(d.max_abs, 0);
  EXPECT_EQ(d.relative(), 0);
}

TEST(CompareElements, BitsAndValuesAreTwoThings) {
  const Difference zeros = compare_values<float, float>(DType::f32, {0.0F}, DType::f32, {-0.0F});
  EXPECT_FALSE(zeros.identical);
  EXPECT_EQ(zeros.differing, 0U);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Difference same = compare_values<float, float>(DType::f32, {nan}, DType::f32, {nan});
  EXPECT_TRUE(same.identical);
  EXPECT_EQ(same.rms(), std::nullopt);
  EXPECT_EQ(same.relative(), std::nullopt);
}

TEST(CompareElements, AZeroNormHasNoRelativeDifference) {
  const Difference d = compare_values<float, float>(DType::f32, {0, 0}, DType::f32, {0, 1});
  EXPECT_EQ(d.relative(), std::nullopt);
  EXPECT_EQ(d.max_abs, 1);
}

TEST(CompareElements, IntegersAreComparedExactly) {
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const std::int64_t big = std::int64_t{1} << 53;
  const Difference same_type =
      compare_values<std::int64_t, std::int64_t>(DType::i64, {big, kMin}, DType::i64, {big + 1, kMax});
  EXPECT_EQ(same_type.differing, 2U);
  EXPECT_EQ(same_type.max_abs, 0x1p64);
  const Difference mixed = compare_values<std::int64_t, double>(
      DType::i64, {big + 1, big}, DType::f64, {static_cast<double>(big), static_cast<double>(big)});
  EXPECT_EQ(mixed.differing, 1U) << "2^53 + 1 is no double";
  EXPECT_EQ(mixed.max_abs, 1);
}

TEST(CompareElements, TypesAreComparedByValue) {
  const std::vector<float> values{0, 1, -2, 0.5F, 65504};
  std::vector<std::uint16_t> f16;
  std::vector<std::uint16_t> bf16;
  for (const float value : values) {
    f16.push_back(to_f16(value));
    bf16.push_back(to_bf16(value));
  }
  const Difference half = compare_values(DType::f32, values, DType::f16, f16);
  EXPECT_EQ(half.differing, 0U);
  EXPECT_FALSE(half.identical);
  const Difference brain = compare_values(DType::bf16, bf16, DType::f32, values);
  EXPECT_EQ(brain.differing, 1U);
  EXPECT_EQ(brain.max_abs, 32);  // bf16 has 65536 for 65504
  EXPECT_EQ((compare_values<std::uint8_t, std::int8_t>(DType::u8, {200}, DType::i8, {-56}).max_abs), 256);
  EXPECT_EQ(
      (compare_values<std::uint8_t, std::int32_t>(DType::boolean, {1, 0}, DType::i32, {1, 0}).differing), 0U);
  EXPECT_EQ((compare_values<std::int16_t, float>(DType::i16, {-300}, DType::f32, {-300}).differing), 0U);
}

TensorFile file_of(const std::string& path, std::vector<std::string> names) {
  TensorFile file{path, {}, {}};
  for (std::string& name : names) {
    file.tensors.emplace_back();
    file.tensors.back().name = std::move(name);
  }
  return file;
}

TEST(MatchTensors, ByNameAcrossFiles) {
  const std::vector<TensorFile> first{file_of("a1", {"x", "y"}), file_of("a2", {"z"})};
  const std::vector<TensorFile> second{file_of("b1", {"z", "w"}), file_of("b2", {"x"})};
  const std::vector<TensorPair> pairs = match_tensors(first, second);
  ASSERT_EQ(pairs.size(), 4U);
  EXPECT_EQ(pairs[0].name, "x");
  EXPECT_EQ(pairs[0].second.file, 1U);
  EXPECT_EQ(pairs[1].second.entry, nullptr);
  EXPECT_EQ(pairs[2].first.file, 1U);
  EXPECT_TRUE(pairs[2].in_both());
  EXPECT_EQ(pairs[3].name, "w");
  EXPECT_EQ(pairs[3].first.entry, nullptr);
}

TEST(MatchTensors, ANameTwiceIsRefused) {
  try {
    match_tensors({file_of("a", {"x"})}, {file_of("b", {"x"}), file_of("c", {"x"})});
    FAIL() << "nothing was thrown";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tensor \"x\" in both b and c"));
  }
}

TEST(MatchTensors, TwoArraysAreAPairWhateverTheirNames) {
  const std::vector<TensorPair> pairs =
      match_tensors({file_of("p/old.npy", {"old"})}, {file_of("new.npy", {"new"})});
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_TRUE(pairs[0].in_both());
}

TEST(CompareRun, FollowsTheOrderOfTheElements) {
  // [3, 2, 2] of u8, the elements counted in the first order; the other file has them the other way round,
  // and one of them changed.
  const TemporaryFolder folder;
  std::string c_order;
  std::string f_order;
  for (int i = 0; i < 12; ++i) c_order.push_back(static_cast<char>(i));
  for (int k = 0; k < 2; ++k) {
    for (int j = 0; j < 2; ++j) {
      for (int i = 0; i < 3; ++i) f_order.push_back(static_cast<char>(4 * i + 2 * j + k));
    }
  }
  f_order[5] = 99;
  const auto header = [](const char* fortran) {
    return fmt::format("{{'descr': '|u1', 'fortran_order': {}, 'shape': (3, 2, 2), }}\n", fortran);
  };
  const std::vector<TensorFile> c{
      read_tensor_list(folder.file("c.npy", npy_file(header("False"), 0) + c_order))};
  const std::vector<TensorFile> f{
      read_tensor_list(folder.file("f.npy", npy_file(header("True"), 0) + f_order))};
  for (const auto& [first, second] : {std::pair(c, f), std::pair(f, c)}) {
    const CompareResult result = run_compare(first, second, match_tensors(first, second), 2, false);
    EXPECT_EQ(result.differences[0]->differing, 1U);
    EXPECT_EQ(result.differences[0]->max_abs, 99 - 10);  // it was element (2, 1, 0)
  }
}

TEST(CompareRun, TheSameBitsByAnyNumberOfThreads) {
  const TemporaryFolder folder;
  Random random(3);
  const auto file = [&](const char* name) {
    std::string data(3 << 20, '\0');
    for (std::size_t i = 0; i < data.size(); i += 4) {
      const float value = static_cast<float>(random.below(1000)) / 999;
      std::memcpy(data.data() + i, &value, 4);
    }
    return read_tensor_list(folder.file(
        name, npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (786432,), }\n", 0) + data));
  };
  const std::vector<TensorFile> first{file("a.npy")};
  const std::vector<TensorFile> second{file("b.npy")};
  const auto pairs = match_tensors(first, second);
  const Difference one = *run_compare(first, second, pairs, 1, false).differences[0];
  EXPECT_GT(one.differing, 700'000U);
  for (const int threads : {2, 3, 8}) {
    const Difference many = *run_compare(first, second, pairs, threads, false).differences[0];
    EXPECT_EQ(std::bit_cast<std::uint64_t>(one.squares), std::bit_cast<std::uint64_t>(many.squares));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(one.first_squares),
              std::bit_cast<std::uint64_t>(many.first_squares));
    EXPECT_EQ(one.differing, many.differing);
  }
}

}  // namespace
}  // namespace millrace::tool
