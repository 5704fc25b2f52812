// min and max.
#include "backends/cuda/reduce/block.cuh"
#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/order.cuh"

namespace millrace::cuda {
namespace {

template <DType kType, bool kIsMin>
struct ExtremeFold : PlainFold<ExtremeFold<kType, kIsMin>, typename Element<kType>::Value> {
  using Stored = typename Element<kType>::Stored;
  using Value = typename Element<kType>::Value;
  using Best = Order<kType, kIsMin>;

  static __device__ Value nothing() { return Best::kWorst; }
  template <typename Running>
  static __device__ void add(Running& running, Stored stored, std::int64_t /*position*/) {
    merge(running.value, Element<kType>::load(stored));
  }
  static __device__ void merge(Value& a, Value b) { a = Best::is_better(b, a) ? b : a; }

  static __device__ void finish(const ReducePlan& plan, Value extreme, std::int64_t at) {
    static_cast<Stored*>(plan.output)[at] = Element<kType>::store(extreme);
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
