// norm.
#include <type_traits>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/fold.cuh"
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
  static constexpr DType kDType = kType;
  using Sum = SquareSum<kType>;

  static __device__ Sum nothing() { return {}; }
  template <typename Running>
  static __device__ void add(Running& running, typename Element<kType>::Value element,
                             std::int64_t /*position*/) {
    if constexpr (kIsShortInteger<kType>) {
      const std::int32_t value = element;
      running.value.add(static_cast<std::uint32_t>(value * value));
    } else {
      const auto value = static_cast<double>(element);
      // Rounded by itself: contracted with an addition it would no longer be the number that is summed.
      running.value.add(__dmul_rn(value, value));
    }
  }
  static __device__ void merge(Sum& a, const Sum& b) { a.add(b); }

  using Result = typename FloatingResult<kType>::Type;
  static __device__ Result result(const ReducePlan& /*plan*/, const Sum& sum) {
    return FloatingResult<kType>::of(sqrt(static_cast<double>(sum.value())));
  }
};

}  // namespace

ReduceKernels norm_kernels(DType dtype) noexcept {
  return kernels_of<SquareFold>(dtype);
}

}  // namespace millrace::cuda
