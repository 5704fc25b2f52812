// norm.
#include <type_traits>

#include "backends/cuda/reduce/block.cuh"
#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/sums.cuh"

namespace millrace::cuda {
namespace {

// Squares of floats of up to four bytes are summed in double, of short integers exactly, of others with what
// was lost.
template <DType kType>
using SquareTerm = std::conditional_t<kIsShortInteger<kType>, std::uint64_t, double>;
template <DType kType>
using SquareSum = std::conditional_t<kIsShortInteger<kType> || (kIsFloating<kType> && kType != DType::f64),
                                     PlainSum<SquareTerm<kType>>, CompensatedSum>;

template <DType kType>
struct SquareFold : PlainFold<SquareFold<kType>, SquareSum<kType>> {
  using Stored = typename Element<kType>::Stored;
  using Sum = SquareSum<kType>;

  static __device__ Sum nothing() { return {}; }
  template <typename Running>
  static __device__ void add(Running& running, Stored stored, std::int64_t /*position*/) {
    if constexpr (kIsShortInteger<kType>) {
      const std::int32_t value = Element<kType>::load(stored);
      running.value.add(static_cast<std::uint32_t>(value * value));
    } else {
      const double value = as_double<kType>(stored);
      // Rounded by itself: contracted with an addition it would no longer be the number that is summed.
      running.value.add(__dmul_rn(value, value));
    }
  }
  static __device__ void merge(Sum& a, const Sum& b) { a.add(b); }

  static __device__ void finish(const ReducePlan& plan, const Sum& sum, std::int64_t at) {
    static_cast<typename FloatingResult<kType>::Type*>(plan.output)[at] =
        FloatingResult<kType>::of(sqrt(static_cast<double>(sum.value())));
  }
};

}  // namespace

ReduceKernels norm_kernels(DType dtype) noexcept {
  return kernels_of<SquareFold>(dtype);
}

}  // namespace millrace::cuda
