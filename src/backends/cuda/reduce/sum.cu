// sum and mean.
#include <type_traits>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/fold.cuh"
#include "backends/cuda/reduce/sums.cuh"

namespace millrace::cuda {
namespace {

/// The mean of integers whose sum may wrap is made of another sum than theirs; all others share one.
template <DType kType>
inline constexpr bool kMayWrap = !kIsFloating<kType> && !kIsShortInteger<kType>;

/// Of floats of up to four bytes in double, whose 29 further bits no number of additions uses up; of f64 with
/// what was lost; of integers modulo 2^64, and for their mean so that it does not wrap.
template <DType kType, bool kIsMean>
struct SumOf {
  static constexpr bool kIsExact = !kIsFloating<kType> && (!kIsMean || kIsShortInteger<kType>);
  static constexpr bool kIsShortFloat = kIsFloating<kType> && kType != DType::f64;
  using Term = std::conditional_t<kIsExact, std::uint64_t, double>;
  using Type = std::conditional_t<kIsExact || kIsShortFloat, PlainSum<Term>, CompensatedSum>;
};

/// f16 and bf16 are added in float while there are few: 16 places more than they have are enough for that,
/// and to make a double of each would take longer than memory does.
struct HalvesRunning {
  float few = 0;
  double all = 0;
};

template <DType kType, bool kIsMean>
struct SumFold : PlainFold<SumFold<kType, kIsMean>, typename SumOf<kType, kIsMean>::Type> {
  using Plain = PlainFold<SumFold<kType, kIsMean>, typename SumOf<kType, kIsMean>::Type>;
  using Running = std::conditional_t<kIsHalf<kType>, HalvesRunning, typename Plain::Running>;
  static constexpr DType kDType = kType;
  using Term = typename SumOf<kType, kIsMean>::Term;
  using Sum = typename SumOf<kType, kIsMean>::Type;

  static __device__ Sum nothing() { return {}; }
  static __device__ void add(Running& running, typename Element<kType>::Value value,
                             std::int64_t /*position*/) {
    if constexpr (kIsHalf<kType>) {
      running.few += value;
    } else {
      running.value.add(static_cast<Term>(value));
    }
  }
  static __device__ void add_vector(
      Running& running, const Vector<kType>& vector,
      std::int64_t /*position*/) requires(!std::is_same_v<Sum, CompensatedSum>) {
    using T = std::conditional_t<kIsHalf<kType>, float, Term>;
    const T sum = by_halves<kType, T>(
        vector, [](auto value) { return static_cast<T>(value); }, [](T a, T b) { return a + b; });
    if constexpr (kIsHalf<kType>) {
      running.few += sum;
    } else {
      running.value.add(sum);
    }
  }
  static __device__ void settle(Running& running) {
    if constexpr (kIsHalf<kType>) {
      running.all += static_cast<double>(running.few);
      running.few = 0;
    }
  }
  static __device__ Sum total(Running& running) {
    if constexpr (kIsHalf<kType>) {
      return {running.all};
    } else {
      return running.value;
    }
  }
  static __device__ void merge(Sum& a, const Sum& b) { a.add(b); }

  /// Floats have one type for both; the sums of integers are what the sums' own fold gives.
  using Result = std::conditional_t<kIsFloating<kType>, typename Element<kType>::Stored, std::int64_t>;
  static __device__ Result result(const ReducePlan& plan, const Sum& sum) requires(kIsFloating<kType>) {
    const double total = sum.value();
    // The mean of nothing is 0 by 0.
    return FloatingResult<kType>::of(
        plan.op == ReduceOp::mean ? total / static_cast<double>(plan.reduced_count) : total);
  }
  static __device__ void finish(const ReducePlan& plan, const Sum& sum,
                                const Place& place) requires(!kIsFloating<kType>) {
    if (plan.op == ReduceOp::mean) {
      double total = 0;
      if constexpr (SumOf<kType, kIsMean>::kIsExact) {
        total = static_cast<double>(static_cast<std::int64_t>(sum.value()));
      } else {
        total = sum.value();
      }
      static_cast<double*>(plan.output)[place.output] = total / static_cast<double>(plan.reduced_count);
    } else {
      static_cast<std::int64_t*>(plan.output)[place.output] = static_cast<std::int64_t>(sum.value());
    }
  }
};

template <DType kType>
using TotalFold = SumFold<kType, false>;
template <DType kType>
using MeanFold = SumFold<kType, kMayWrap<kType>>;

}  // namespace

ReduceKernels sum_kernels(ReduceOp op, DType dtype) noexcept {
  return op == ReduceOp::mean ? kernels_of<MeanFold>(dtype) : kernels_of<TotalFold>(dtype);
}

}  // namespace millrace::cuda
