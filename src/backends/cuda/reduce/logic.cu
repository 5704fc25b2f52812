// any, all, and the counts of zeros, NaNs and infinities.
#include <cstdint>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/fold.cuh"

namespace millrace::cuda {
namespace {

enum class Kind { zero, nan, inf };

template <DType kType, Kind kKind>
struct CountFold : PlainFold<CountFold<kType, kKind>, std::int64_t> {
  static constexpr DType kDType = kType;
  using Value = typename Element<kType>::Value;

  static __device__ std::int64_t nothing() { return 0; }
  template <typename Running>
  static __device__ void add(Running& running, Value value, std::int64_t /*position*/) {
    bool counts = false;
    if constexpr (kKind == Kind::zero) counts = value == 0;
    if constexpr (kKind == Kind::nan) counts = is_nan(value);
    if constexpr (kKind == Kind::inf) counts = !is_finite(value) && !is_nan(value);
    running.value += counts ? 1 : 0;
  }
  static __device__ void merge(std::int64_t& a, std::int64_t b) { a += b; }

  static __device__ void finish(const ReducePlan& plan, std::int64_t count, const Place& place) {
    if (plan.op == ReduceOp::any) {
      static_cast<std::uint8_t*>(plan.output)[place.output] = count < plan.reduced_count ? 1 : 0;
    } else if (plan.op == ReduceOp::all) {
      static_cast<std::uint8_t*>(plan.output)[place.output] = count == 0 ? 1 : 0;
    } else {
      static_cast<std::int64_t*>(plan.output)[place.output] = count;
    }
  }
};

template <DType kType>
using ZeroFold = CountFold<kType, Kind::zero>;
// No integer is counted here: the plan of what none can be has no elements, so that any fold will do.
template <DType kType>
using NanFold = CountFold<kType, kIsFloating<kType> ? Kind::nan : Kind::zero>;
template <DType kType>
using InfFold = CountFold<kType, kIsFloating<kType> ? Kind::inf : Kind::zero>;

}  // namespace

ReduceKernels logic_kernels(ReduceOp op, DType dtype) noexcept {
  switch (op) {
    case ReduceOp::count_nan: return kernels_of<NanFold, false>(dtype);
    case ReduceOp::count_inf: return kernels_of<InfFold, false>(dtype);
    default: return kernels_of<ZeroFold, false>(dtype);
  }
}

}  // namespace millrace::cuda
