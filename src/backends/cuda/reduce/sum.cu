// sum and mean.
#include <type_traits>

#include "backends/cuda/reduce/block.cuh"
#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/sums.cuh"

namespace millrace::cuda {
namespace {

/// Of floats of up to four bytes in double, whose 29 further bits no number of additions uses up; of f64 with
/// what was lost; of integers modulo 2^64, and for their mean so that it does not wrap.
template <DType kType, bool kIsMean>
struct SumOf {
  static constexpr bool kIsExact = !kIsFloating<kType> && (!kIsMean || kIsShortInteger<kType>);
  static constexpr bool kIsShortFloat = kIsFloating<kType> && kType != DType::f64;
  using Term = std::conditional_t<kIsExact, std::uint64_t, double>;
  using Type = std::conditional_t<kIsExact || kIsShortFloat, PlainSum<Term>, CompensatedSum>;
};

template <DType kType, bool kIsMean>
struct SumFold : PlainFold<SumFold<kType, kIsMean>, typename SumOf<kType, kIsMean>::Type> {
  using Stored = typename Element<kType>::Stored;
  using Term = typename SumOf<kType, kIsMean>::Term;
  using Sum = typename SumOf<kType, kIsMean>::Type;

  static __device__ Sum nothing() { return {}; }
  template <typename Running>
  static __device__ void add(Running& running, Stored stored, std::int64_t /*position*/) {
    running.value.add(static_cast<Term>(Element<kType>::load(stored)));
  }
  static __device__ void merge(Sum& a, const Sum& b) { a.add(b); }

  static __device__ void finish(const ReducePlan& plan, const Sum& sum, std::int64_t at) {
    if constexpr (kIsMean) {
      double total = 0;
      if constexpr (SumOf<kType, kIsMean>::kIsExact) {
        total = static_cast<double>(static_cast<std::int64_t>(sum.value()));
      } else {
        total = sum.value();
      }
      // Of nothing it is 0 by 0.
      static_cast<typename FloatingResult<kType>::Type*>(plan.output)[at] =
          FloatingResult<kType>::of(total / static_cast<double>(plan.reduced_count));
    } else if constexpr (kIsFloating<kType>) {
      static_cast<Stored*>(plan.output)[at] = FloatingResult<kType>::of(sum.value());
    } else {
      static_cast<std::int64_t*>(plan.output)[at] = static_cast<std::int64_t>(sum.value());
    }
  }
};

template <DType kType>
using TotalFold = SumFold<kType, false>;
template <DType kType>
using MeanFold = SumFold<kType, true>;

}  // namespace

ReduceKernels sum_kernels(ReduceOp op, DType dtype) noexcept {
  return op == ReduceOp::mean ? kernels_of<MeanFold>(dtype) : kernels_of<TotalFold>(dtype);
}

}  // namespace millrace::cuda
