// prod.
#include <type_traits>

#include "backends/cuda/reduce/block.cuh"
#include "backends/cuda/reduce/element.cuh"

namespace millrace::cuda {
namespace {

/// Integers wrap, so they are computed with as unsigned.
template <DType kType>
using Product = std::conditional_t<kIsFloating<kType>, double, std::uint64_t>;

template <DType kType>
struct ProdFold : PlainFold<ProdFold<kType>, Product<kType>> {
  using Stored = typename Element<kType>::Stored;
  using T = Product<kType>;

  static __device__ T nothing() { return 1; }
  template <typename Running>
  static __device__ void add(Running& running, Stored stored, std::int64_t /*position*/) {
    running.value *= static_cast<T>(Element<kType>::load(stored));
  }
  static __device__ void merge(T& a, T b) { a *= b; }

  static __device__ void finish(const ReducePlan& plan, T product, std::int64_t at) {
    if constexpr (kIsFloating<kType>) {
      static_cast<Stored*>(plan.output)[at] = FloatingResult<kType>::of(product);
    } else {
      static_cast<std::int64_t*>(plan.output)[at] = static_cast<std::int64_t>(product);
    }
  }
};

}  // namespace

ReduceKernels prod_kernels(DType dtype) noexcept {
  return kernels_of<ProdFold>(dtype);
}

}  // namespace millrace::cuda
