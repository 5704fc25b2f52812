// The kernels of reductions against the host's loops and against exact sums.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "backends/cuda/reduce/packs.h"
#include "backends/cuda/reduce/reduce.h"
#include "backends/cuda/reduce/tickets.h"
#include "reduce/plan.h"
#include "reduce_case.h"
#include "support/fake_cuda.h"
#include "support/random.h"
#include "support/run_directly.h"
#include "support/scale.h"
#include "support/threads.h"

namespace millrace {
namespace {

using test::ReduceCase;
using Bytes = std::vector<std::byte>;

constexpr std::byte kUntouched{0xCD};
constexpr std::size_t kGuard = 256;

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorName(error) + ", " +
                             cudaGetErrorString(error));
  }
}

/// Device memory that grows; what it held is lost then.
class DeviceBytes {
 public:
  DeviceBytes() = default;
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  ~DeviceBytes() { static_cast<void>(cudaFree(data_)); }

  std::byte* reserve(std::size_t bytes) {
    if (bytes > size_) {
      check(cudaFree(data_), "cudaFree");
      data_ = nullptr;
      check(cudaMalloc(&data_, 2 * bytes), "cudaMalloc");
      size_ = 2 * bytes;
    }
    return static_cast<std::byte*>(data_);
  }
  std::byte* upload(const Bytes& bytes) {
    std::byte* const to = reserve(bytes.size() + 1);
    check(cudaMemcpy(to, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
    // What was pageable is only staged by now, and our streams do not wait for the one that brings it.
    check(cudaStreamSynchronize(cudaStreamLegacy), "cudaStreamSynchronize");
    return to;
  }
  Bytes download(std::size_t bytes) const {
    Bytes result(bytes);
    check(cudaMemcpy(result.data(), data_, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return result;
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

class CudaReduce : public testing::Test {
 protected:
  void SetUp() override {
    if (test::fake_cuda_installed())
      GTEST_SKIP()
          << "an earlier test has put the fake driver in its place: run with --gtest_filter=CudaReduce.*";
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) GTEST_SKIP() << "no CUDA device: " << cudaGetErrorString(error);
    if (count == 0) GTEST_SKIP() << "no CUDA device";
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  void TearDown() override {
    if (stream_ != nullptr) static_cast<void>(cudaStreamDestroy(stream_));
  }

  /// Waits for the result.
  void launch(const Operation& operation) {
    const ReduceWork& work = std::get<ReduceWork>(operation.work);
    const std::size_t scratch = cuda::reduce_scratch_bytes(work);
    std::byte* const at = scratch_.upload(Bytes(scratch + kGuard, kUntouched));
    cuda::launch_reduce(work, at, next_with_tickets_ ? tickets_.words() : nullptr, stream_).throw_if_failed();
    next_with_tickets_ = !next_with_tickets_;
    check(cudaStreamSynchronize(stream_), "the kernels");
    const Bytes after = scratch_.download(scratch + kGuard);
    for (std::size_t i = scratch; i < after.size(); ++i) {
      ASSERT_EQ(after[i], kUntouched) << "memory behind the scratch was written";
    }
  }

  void compare(ReduceCase one) {
    SCOPED_TRACE(one.text());
    Bytes expected(one.output_count * one.result_bytes(), kUntouched);
    Bytes values(one.output_count * size_of(one.dtype), kUntouched);
    std::byte* const from = input_.upload(one.input);
    std::byte* const to = output_.upload(expected);
    std::byte* const found = values_.upload(values);
    test::run_directly(one.operation(one.input.data(), expected.data(), values.data()));
    ASSERT_NO_FATAL_FAILURE(launch(one.operation(from, to, found)));
    const auto problem = test::judge(one, expected, output_.download(expected.size()));
    ASSERT_FALSE(problem.has_value()) << *problem;
    if (one.with_values) expect_same_values(one.dtype, values, values_.download(values.size()));
  }

  /// The bits of the same elements, but that a NaN is a NaN.
  static void expect_same_values(DType dtype, const Bytes& expected, const Bytes& found) {
    for (std::size_t i = 0; i < expected.size(); i += size_of(dtype)) {
      if (std::memcmp(&expected[i], &found[i], size_of(dtype)) == 0) continue;
      ASSERT_TRUE(is_nan(dtype, &expected[i]) && is_nan(dtype, &found[i])) << "value at byte " << i;
    }
  }
  static bool is_nan(DType dtype, const std::byte* at) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, at, size_of(dtype));
    switch (dtype) {
      case DType::f64: return std::isnan(std::bit_cast<double>(bits));
      case DType::f32: return std::isnan(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
      case DType::f16: return (bits & 0x7fff) > 0x7c00;
      case DType::bf16: return (bits & 0x7fff) > 0x7f80;
      default: return false;
    }
  }

  template <typename Result, typename T>
  Result of_all(ReduceOp op, const std::vector<T>& values, DType dtype) {
    Bytes bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    std::byte* const from = input_.upload(bytes);
    std::byte* const to = output_.reserve(sizeof(Result));
    launch(reduction_operation(op, contiguous(from, dtype, Dims{static_cast<std::int64_t>(values.size())}),
                               contiguous(to, result_dtype(op, dtype), Dims{}), {}));
    Result result;
    std::memcpy(&result, output_.download(sizeof result).data(), sizeof result);
    return result;
  }

  cudaStream_t stream_ = nullptr;
  cuda::Tickets tickets_;
  bool next_with_tickets_ = true;
  DeviceBytes input_, output_, values_, scratch_;
};

TEST_F(CudaReduce, RandomCases) {
  test::Random random(test::seed_of_run());
  const std::size_t cases = test::scaled(6000);
  for (std::size_t i = 0; i < cases && !HasFatalFailure(); ++i) compare(test::random_case(random));
}

struct LargeShape {
  Dims shape;
  std::vector<std::int64_t> dims;
};

// Long enough to be split, on every way through the kernels.
TEST_F(CudaReduce, LargeShapes) {
  test::Random random(test::seed_of_run());
  const std::vector<LargeShape> shapes{{Dims{1 << 20}, {}},
                                       {Dims{1000, 1003}, {0}},
                                       {Dims{1000, 1003}, {1}},
                                       {Dims{200'000, 3}, {0}},
                                       {Dims{3, 200'000}, {1}},
                                       {Dims{5, 40'000, 5}, {1}},
                                       {Dims{30, 20, 40, 50}, {0, 2}},
                                       {Dims{30, 20, 40, 50}, {1, 3}},
                                       {Dims{70'001, 17}, {0}},
                                       {Dims{300'001, 2}, {1}},
                                       {Dims{33, 20'011}, {1}},
                                       {Dims{5, 300'001}, {0}},
                                       {Dims{3, 2'200'000}, {0}},
                                       {Dims{100'000, 3, 6}, {1}},
                                       {Dims{160'000, 9, 3}, {1}},
                                       {Dims{1'200'007}, {0}}};
  for (const LargeShape& large : shapes) {
    for (int op = 0; op <= kReduceOpCount; ++op) {
      if (static_cast<ReduceOp>(op) == ReduceOp::prod) continue;  // of so many is 0 or past what floats hold
      const bool statistics = op == kReduceOpCount;
      const auto dtype = static_cast<DType>(random.below(kDTypeCount));
      compare(test::case_of(random, large.shape, large.dims, statistics,
                            statistics ? ReduceOp::sum : static_cast<ReduceOp>(op), dtype));
      if (HasFatalFailure()) return;
    }
  }
}

// Every operation on every type, dense, split, and by columns.
TEST_F(CudaReduce, EveryKernel) {
  test::Random random(test::seed_of_run());
  for (int op = 0; op <= kReduceOpCount; ++op) {
    for (int dtype = 0; dtype < kDTypeCount; ++dtype) {
      for (const LargeShape& large :
           {LargeShape{Dims{20'011}, {}}, LargeShape{Dims{20'011, 3}, {0}}, LargeShape{Dims{7, 300}, {1}}}) {
        const bool statistics = op == kReduceOpCount;
        compare(test::case_of(random, large.shape, large.dims, statistics,
                              statistics ? ReduceOp::sum : static_cast<ReduceOp>(op),
                              static_cast<DType>(dtype)));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(CudaReduce, ErrorsOfLongSumsStaySmall) {
  const std::size_t n = 1 << 24;
  const double many = static_cast<double>(n);
  const double of_floats = static_cast<double>(0.1F) * many;
  EXPECT_NEAR(of_all<float>(ReduceOp::sum, std::vector<float>(n, 0.1F), DType::f32), of_floats,
              1e-7 * of_floats);
  const std::vector<double> doubles(n, 0.1);
  EXPECT_NEAR(of_all<double>(ReduceOp::sum, doubles, DType::f64), 0.1 * many, 4e-16 * 0.1 * many);
  EXPECT_NEAR(of_all<double>(ReduceOp::norm, doubles, DType::f64), 0.1 * std::sqrt(many), 1e-15 * 0.1 * many);
}

TEST_F(CudaReduce, WhatDoublesDoNotHold) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const std::vector<double> large(100'000, 1e308);
  EXPECT_EQ(of_all<double>(ReduceOp::sum, large, DType::f64), kInf);
  EXPECT_EQ(of_all<double>(ReduceOp::var, std::vector<double>{1e200, -1e200}, DType::f64), kInf);
  EXPECT_EQ(of_all<double>(ReduceOp::var, std::vector<double>{1e308, -1e308, 1e308}, DType::f64), kInf);
  EXPECT_EQ(of_all<double>(ReduceOp::var, large, DType::f64), 0);
  std::vector<double> odd(100'000, 1);
  odd[77'777] = kInf;
  EXPECT_TRUE(std::isnan(of_all<double>(ReduceOp::var, odd, DType::f64)));
  EXPECT_EQ(of_all<double>(ReduceOp::sum, odd, DType::f64), kInf);
  odd[3] = -kInf;
  EXPECT_TRUE(std::isnan(of_all<double>(ReduceOp::sum, odd, DType::f64)));
}

TEST_F(CudaReduce, TheSameInputGivesTheSameBits) {
  test::Random random(test::seed_of_run());
  for (const ReduceOp op : {ReduceOp::sum, ReduceOp::norm, ReduceOp::var}) {
    ReduceCase one = test::case_of(random, Dims{3, 400'001}, {1}, false, op, DType::f64);
    std::byte* const from = input_.upload(one.input);
    const std::size_t bytes = one.output_count * one.result_bytes();
    std::byte* const to = output_.upload(Bytes(bytes, kUntouched));
    Bytes first;
    for (int round = 0; round < 20; ++round) {
      ASSERT_NO_FATAL_FAILURE(launch(one.operation(from, to, nullptr)));
      Bytes bits = output_.download(bytes);
      if (round == 0) first = bits;
      ASSERT_EQ(bits, first) << one.text();
    }
  }
}

/// Elements of either sign from a half to two.
Bytes some_elements(test::Random& random, DType dtype, std::size_t count) {
  Bytes bytes(count * size_of(dtype));
  for (std::size_t i = 0; i < count; ++i) {
    const auto sign = static_cast<std::uint32_t>(random.below(2));
    const auto places = static_cast<std::uint32_t>(random.below(0x1000000));
    std::uint32_t bits = sign << 31 | (0x3f000000 + places);
    if (dtype == DType::bf16) bits >>= 16;
    if (dtype == DType::f16) bits = sign << 15 | (0x3800 + places % 0x800);
    std::memcpy(&bytes[i * size_of(dtype)], &bits, size_of(dtype));
  }
  return bytes;
}

// On every way through the kernels of packs, and where each is split.
TEST_F(CudaReduce, ThoseThatShareALaunchHaveTheBitsOfOneAlone) {
  constexpr std::size_t kOfAKind = 11;
  test::Random random(test::seed_of_run());
  const std::vector<LargeShape> shapes{
      {Dims{4096}, {}},        {Dims{1000}, {}},       {Dims{64, 64}, {0}}, {Dims{64, 64}, {1}},
      {Dims{33, 7}, {1}},      {Dims{6, 2000}, {1}},   {Dims{1 << 20}, {}}, {Dims{1024, 1024}, {0}},
      {Dims{1024, 1024}, {1}}, {Dims{3, 5, 160}, {0}}, {Dims{300'001}, {}}, {Dims{2, 100'003}, {1}}};
  const auto packs = std::make_unique<cuda::Packs>();
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const auto& [shape, dims] : shapes) {
      for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::prod, ReduceOp::norm,
                                ReduceOp::var, ReduceOp::argmin}) {
        const auto count = static_cast<std::size_t>(element_count(shape));
        const Dims result = result_shape(shape, dims, false);
        const DType result_type = result_dtype(op, dtype);
        const std::size_t result_bytes =
            (static_cast<std::size_t>(element_count(result)) * size_of(result_type) + 15) / 16 * 16;
        // Each begins where it may, but all as far behind a vector.
        const std::size_t input_bytes = (count * size_of(dtype) + 15) / 16 * 16;
        const std::size_t shift = random.below(4) * size_of(dtype);
        Bytes elements = some_elements(random, dtype, (kOfAKind * input_bytes + 64) / size_of(dtype));
        std::byte* const from = input_.upload(elements) + shift;
        std::vector<ReduceWork> works;
        std::byte* const to = output_.upload(Bytes(2 * kOfAKind * result_bytes, kUntouched));
        for (std::size_t i = 0; i < 2 * kOfAKind; ++i) {
          works.push_back(std::get<ReduceWork>(
              reduction_operation(op, contiguous(from + i % kOfAKind * input_bytes, dtype, shape),
                                  contiguous(to + i * result_bytes, result_type, result), dims)
                  .work));
        }
        const std::size_t scratch_bytes = (cuda::reduce_scratch_bytes(works.front()) + 511) / 512 * 512;
        std::byte* const scratch = scratch_.reserve(kOfAKind * scratch_bytes + 1);
        for (std::size_t i = 0; i < 2 * kOfAKind; ++i) {
          ReduceWork& work = works[i];
          if (scratch_bytes != 0) work.scratch = scratch + i % kOfAKind * scratch_bytes;
          if (i < kOfAKind) {
            cuda::launch_reduce(work, work.scratch, tickets_.words(), stream_).throw_if_failed();
          } else {
            packs->add(work, tickets_, stream_).throw_if_failed();
          }
        }
        packs->launch(stream_).throw_if_failed();
        check(cudaStreamSynchronize(stream_), "the kernels");
        const Bytes found = output_.download(2 * kOfAKind * result_bytes);
        const auto half = static_cast<std::ptrdiff_t>(kOfAKind * result_bytes);
        ASSERT_TRUE(std::equal(found.begin(), found.begin() + half, found.begin() + half))
            << to_string(op) << " of " << to_string(dtype) << ' ' << count << " elements";
      }
    }
  }
}

/// Launches on a stream of its own.
class Runner {
 public:
  Runner() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner() { static_cast<void>(cudaStreamDestroy(stream_)); }

  /// The result's bits.
  Bytes run(const ReduceCase& one, std::byte* from) {
    const std::size_t bytes = one.output_count * one.result_bytes();
    const Operation operation = one.operation(from, output_.upload(Bytes(bytes, kUntouched)), nullptr);
    const ReduceWork& work = std::get<ReduceWork>(operation.work);
    std::byte* const scratch = scratch_.reserve(cuda::reduce_scratch_bytes(work) + 1);
    cuda::launch_reduce(work, scratch, tickets_.words(), stream_).throw_if_failed();
    check(cudaStreamSynchronize(stream_), "the kernels");
    return output_.download(bytes);
  }

 private:
  cudaStream_t stream_ = nullptr;
  cuda::Tickets tickets_;
  DeviceBytes output_, scratch_;
};

// Whatever else runs, and whichever block is the last.
TEST_F(CudaReduce, TheSameBitsWhileOthersReduce) {
  constexpr int kThreads = 16;
  test::Random random(test::seed_of_run());
  std::vector<ReduceCase> cases;
  for (const LargeShape& large : {LargeShape{Dims{1'200'007}, {}}, LargeShape{Dims{3, 400'001}, {1}},
                                  LargeShape{Dims{3000, 320}, {0}}, LargeShape{Dims{3000, 331}, {0}},
                                  LargeShape{Dims{200'000, 3}, {0}}, LargeShape{Dims{40, 6, 4000}, {0, 2}}}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      const ReduceOp op = random.one_in(2) ? ReduceOp::sum : ReduceOp::norm;
      cases.push_back(test::case_of(random, large.shape, large.dims, false, op, dtype));
      cases.push_back(test::case_of(random, large.shape, large.dims, false, ReduceOp::var, dtype));
    }
  }
  std::vector<DeviceBytes> inputs(cases.size());
  std::vector<std::byte*> from(cases.size());
  std::vector<Bytes> expected(cases.size());
  Runner alone;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    from[i] = inputs[i].upload(cases[i].input);
    expected[i] = alone.run(cases[i], from[i]);
  }
  test::on_threads(kThreads, [&](int number) {
    Runner own;
    const std::size_t rounds = test::scaled(100) * cases.size();
    for (std::size_t round = 0; round < rounds; ++round) {
      const std::size_t i = (round + static_cast<std::size_t>(number)) % cases.size();
      ASSERT_EQ(own.run(cases[i], from[i]), expected[i]) << cases[i].text();
    }
  });
}

}  // namespace
}  // namespace millrace
