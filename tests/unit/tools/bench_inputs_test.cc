// What the benches measure on: shapes, values, checkpoints.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "bench/options.h"
#include "bench/read_floor.h"
#include "bench/reduce_cases.h"
#include "bench/synthetic_checkpoint.h"
#include "half.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

TEST(BenchInputs, EveryShapeFitsTheInputAndUsesMostOfIt) {
  for (const std::uint64_t elements : {kFewestReduceElements, kFewestReduceElements + 12'345,
                                       std::uint64_t{1} << 20, std::uint64_t{1} << 26}) {
    std::set<std::string> names;
    for (const ReduceCase& c : reduce_cases(elements)) {
      const auto used = static_cast<std::uint64_t>(c.elements());
      EXPECT_LE(used, elements) << c.name;
      EXPECT_GT(used, elements / 2) << c.name;
      EXPECT_TRUE(names.insert(c.name).second) << c.name << " is there twice";
      EXPECT_NO_THROW(result_shape(c.shape, c.dims, false)) << c.name;
    }
  }
}

TEST(BenchInputs, ShapesOfAQuarterOfAGibibyte) {
  std::set<std::string> names;
  for (const ReduceCase& c : reduce_cases(256 * kMiB / 4)) names.insert(c.name);
  for (const char* const name :
       {"sum all", "sum (8192,8192) over 0", "sum (262144,256) over 1", "sum (256,262144) over 0",
        "sum (4194304,16) over 1", "sum (16,4194304) over 0", "sum (64,1024,32,32) over (0,2)",
        "sum (64,1024,32,32) over (1,3)", "sum (64,1024,32,32) over (0,2,3)", "min (8192,8192) over 1"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(BenchInputs, ValuesAreFromOneToTwo) {
  std::vector<std::byte> bytes(4096);
  fill_reduce_input(DType::f32, bytes);
  std::set<float> different;
  for (std::size_t i = 0; i < bytes.size() / 4; ++i) {
    float value = 0;
    std::memcpy(&value, bytes.data() + 4 * i, 4);
    EXPECT_TRUE(value >= 1 && value < 2) << value;
    different.insert(value);
  }
  EXPECT_GT(different.size(), 1000U);
  fill_reduce_input(DType::f16, bytes);
  for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    EXPECT_TRUE(from_f16(bits) >= 1 && from_f16(bits) < 2) << bits;
  }
  fill_reduce_input(DType::bf16, bytes);
  for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    EXPECT_TRUE(from_bf16(bits) >= 1 && from_bf16(bits) < 2) << bits;
  }
}

TEST(BenchInputs, CheckpointsAreMixedAndAsLargeAsAsked) {
  for (const std::uint64_t size :
       {kSmallestCheckpoint, 3 * kMiB, 100 * kMiB, 4096 * kMiB, 4096 * kMiB + 12'345}) {
    const std::vector<TensorEntry> tensors = checkpoint_tensors(size);
    std::uint64_t sum = 0;
    std::set<DType> types;
    for (const TensorEntry& tensor : tensors) {
      EXPECT_EQ(checked_bytes(tensor.shape, size_of(tensor.dtype)), tensor.bytes);
      EXPECT_GE(tensor.bytes, std::min(kMiB, size / 32)) << size;
      EXPECT_LE(tensor.bytes, 256 * kMiB);
      sum += tensor.bytes;
      types.insert(tensor.dtype);
    }
    EXPECT_LE(sum, size);
    EXPECT_GT(sum, size - size / 16) << size;
    EXPECT_EQ(types, (std::set{DType::bf16, DType::f16, DType::f32})) << size;
  }
}

TEST(BenchInputs, ACheckpointHasNoNameUnlessItIsKept) {
  std::string folder = (std::filesystem::temp_directory_path() / "millrace-checkpoint-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const auto entries = [&] {
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
  };
  {
    const SyntheticCheckpoint checkpoint(folder, kMiB, false);
    EXPECT_TRUE(checkpoint.whole());
    EXPECT_EQ(entries(), 0);
    EXPECT_TRUE(std::filesystem::exists(checkpoint.path()));
  }
  {
    const SyntheticCheckpoint kept(folder, kMiB, true);
    EXPECT_EQ(entries(), 1);
    const TensorFile file = read_tensor_list(find_tensor_files({folder}).front());
    EXPECT_EQ(file.tensors.size(), checkpoint_tensors(kMiB).size());
    EXPECT_EQ(file.tensors.back().offset + file.tensors.back().bytes, file.identity.size);
  }
  EXPECT_EQ(SyntheticCheckpoint(folder, kMiB, false).path(), find_tensor_files({folder}).front());
  std::filesystem::remove_all(folder);
}

TEST(BenchInputs, ReadingTakesTimeFromAnyNumberOfThreads) {
  const std::vector<std::byte> bytes(10'000, std::byte{1});
  for (const int threads : {1, 2, 7}) {
    EXPECT_GT(time_reading(bytes, threads), 0) << threads;
    ReadFloor floor(bytes, threads);
    for (int pass = 0; pass < 3; ++pass) EXPECT_GT(floor.time(), 0) << threads;
  }
}

TEST(BenchInputs, ThreadListsAndSizes) {
  EXPECT_EQ(parse_threads("1,2,256"), (std::vector{1, 2, 256}));
  for (const char* const wrong : {"", "0", "257", "1,x", "1;2", "-1"}) {
    EXPECT_THROW(parse_threads(wrong), CLI::ValidationError) << wrong;
  }
  EXPECT_EQ(parse_size("--size", "1MiB", 1), kMiB);
  EXPECT_THROW(parse_size("--size", "1KiB", 1025), UsageError);
  EXPECT_THROW(parse_size("--size", "much", 1), UsageError);
}

}  // namespace
}  // namespace millrace::tool
