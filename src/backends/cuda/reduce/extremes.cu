// min and max.
#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/fold.cuh"
#include "backends/cuda/reduce/order.cuh"

namespace millrace::cuda {
namespace {

template <DType kType, bool kIsMin>
struct ExtremeFold : PlainFold<ExtremeFold<kType, kIsMin>, typename Element<kType>::Value> {
  static constexpr DType kDType = kType;
  using Stored = typename Element<kType>::Stored;
  using Value = typename Element<kType>::Value;
  using Best = Order<kType, kIsMin>;

  static __device__ Value nothing() { return Best::kWorst; }
  template <typename Running>
  static __device__ void add(Running& running, Value value, std::int64_t /*position*/) {
    merge(running.value, value);
  }
  template <typename Running>
  static __device__ void add_vector(Running& running, const Vector<kType>& vector,
                                    std::int64_t /*position*/) {
    merge(running.value, Best::best_of(vector));
  }
  static __device__ void merge(Value& a, Value b) { a = Best::better(a, b); }

  using Result = Stored;
  static __device__ Result result(const ReducePlan& /*plan*/, Value extreme) {
    return Element<kType>::store(extreme);
  }
};

template <DType kType>
using MinFold = ExtremeFold<kType, true>;
template <DType kType>
using MaxFold = ExtremeFold<kType, false>;

}  // namespace

ReduceKernels extreme_kernels(ReduceOp op, DType dtype) noexcept {
  return op == ReduceOp::min ? kernels_of<MinFold>(dtype) : kernels_of<MaxFold>(dtype);
}

}  // namespace millrace::cuda
