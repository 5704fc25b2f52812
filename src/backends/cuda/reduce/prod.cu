// prod.
#include <type_traits>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/fold.cuh"

namespace millrace::cuda {
namespace {

/// Integers wrap, so they are computed with as unsigned.
template <DType kType>
using Product = std::conditional_t<kIsFloating<kType>, double, std::uint64_t>;

template <DType kType>
struct ProdFold : PlainFold<ProdFold<kType>, Product<kType>> {
  static constexpr DType kDType = kType;
  using T = Product<kType>;

  static __device__ T nothing() { return 1; }
  template <typename Running>
  static __device__ void add(Running& running, typename Element<kType>::Value value,
                             std::int64_t /*position*/) {
    running.value *= static_cast<T>(value);
  }
  template <typename Running>
  static __device__ void add_vector(Running& running, const Vector<kType>& vector,
                                    std::int64_t /*position*/) {
    running.value *= by_halves<kType, T>(
        vector, [](auto value) { return static_cast<T>(value); }, [](T a, T b) { return a * b; });
  }
  static __device__ void merge(T& a, T b) { a *= b; }

  using Result = std::conditional_t<kIsFloating<kType>, typename Element<kType>::Stored, std::int64_t>;
  static __device__ Result result(const ReducePlan& /*plan*/, T product) {
    if constexpr (kIsFloating<kType>) {
      return FloatingResult<kType>::of(product);
    } else {
      return static_cast<std::int64_t>(product);
    }
  }
};

}  // namespace

ReduceKernels prod_kernels(DType dtype) noexcept {
  return kernels_of<ProdFold>(dtype);
}

}  // namespace millrace::cuda
