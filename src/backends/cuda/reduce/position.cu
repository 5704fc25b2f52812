// argmin and argmax.
#include <cstdint>
#include <limits>

#include "backends/cuda/reduce/block.cuh"
#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/order.cuh"

namespace millrace::cuda {
namespace {

constexpr std::int64_t kNowhere = std::numeric_limits<std::int64_t>::max();

/// The first of the best elements. Of equals the position decides, so that elements may come in any order.
template <typename Value>
struct Place {
  Value value;
  std::int64_t position;
};

template <DType kType, bool kIsMin>
struct PositionFold : PlainFold<PositionFold<kType, kIsMin>, Place<typename Element<kType>::Value>> {
  using Stored = typename Element<kType>::Stored;
  using Best = Order<kType, kIsMin>;
  using P = Place<typename Element<kType>::Value>;

  /// Any element is better, or as bad and before it.
  static __device__ P nothing() { return {Best::kWorst, kNowhere}; }
  template <typename Running>
  static __device__ void add(Running& running, Stored stored, std::int64_t position) {
    merge(running.value, {Element<kType>::load(stored), position});
  }
  static __device__ void merge(P& a, const P& b) {
    if (Best::is_better(b.value, a.value) || (b.position < a.position && Best::is_same(a.value, b.value)))
      a = b;
  }

  static __device__ void finish(const ReducePlan& plan, const P& place, std::int64_t at) {
    static_cast<std::int64_t*>(plan.output)[at] = place.position;
    if (plan.values != nullptr) static_cast<Stored*>(plan.values)[at] = Element<kType>::store(place.value);
  }
};

template <DType kType>
using FirstMinFold = PositionFold<kType, true>;
template <DType kType>
using FirstMaxFold = PositionFold<kType, false>;

}  // namespace

ReduceKernels position_kernels(ReduceOp op, DType dtype) noexcept {
  return op == ReduceOp::argmin ? kernels_of<FirstMinFold>(dtype) : kernels_of<FirstMaxFold>(dtype);
}

}  // namespace millrace::cuda
