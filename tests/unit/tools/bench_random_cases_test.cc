// The random shapes of `bench reduce`: they fit their memory, are large enough, and the same for a seed.
#include "bench/random_cases.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace millrace::tool {
namespace {

constexpr std::uint64_t kBytes = std::uint64_t{1} << 30;

TEST(BenchRandomCases, FitTheirMemoryAndAreLarge) {
  std::set<std::string> names;
  std::set<int> ranks;
  int strided = 0, of_all = 0;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const ReduceCase& c : random_cases(dtype, kBytes, static_cast<int>(names.size()), 100, 2026)) {
      std::int64_t last = 0;
      ASSERT_EQ(c.shape.size(), c.strides.size());
      for (int i = 0; i < c.shape.size(); ++i) last += (c.shape[i] - 1) * c.strides[i];
      EXPECT_LE(static_cast<std::uint64_t>(last + 1) * size_of(dtype), kBytes) << c.name;
      EXPECT_GE(static_cast<std::uint64_t>(c.elements()) * size_of(dtype), kLeastRandomBytes) << c.name;
      EXPECT_LE(c.dims.size(), c.shape.size());
      names.insert(c.name);
      ranks.insert(c.shape.size());
      const Dims dense = contiguous_strides(c.shape);
      for (int i = 0; i < c.shape.size(); ++i) {
        if (c.shape[i] != 1 && c.strides[i] != dense[i]) {
          ++strided;
          break;
        }
      }
      of_all += c.dims.empty() ? 1 : 0;
    }
  }
  EXPECT_EQ(names.size(), 200U) << "each has its own number";
  EXPECT_EQ(ranks, (std::set<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_GT(strided, 40);
  EXPECT_GT(of_all, 10);
  EXPECT_LT(of_all, 120);
}

TEST(BenchRandomCases, AreTheSameForASeed) {
  const auto names = [](std::uint64_t seed) {
    std::vector<std::string> all;
    for (const ReduceCase& c : random_cases(DType::f32, kBytes, 0, 20, seed)) all.push_back(c.name);
    return all;
  };
  EXPECT_EQ(names(1), names(1));
  EXPECT_NE(names(1), names(2));
}

}  // namespace
}  // namespace millrace::tool
