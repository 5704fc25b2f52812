// argmin and argmax.
#include <cstdint>
#include <limits>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/fold.cuh"
#include "backends/cuda/reduce/order.cuh"

namespace millrace::cuda {
namespace {

constexpr std::int64_t kNowhere = std::numeric_limits<std::int64_t>::max();

/// The first of the best elements. Of equals the position decides, so that elements may come in any order.
/// Where elements are dense it may also be that of the vector which has the best element: that one is then
/// the first from there on that equals the value.
template <typename Value>
struct Best {
  Value value;
  std::int64_t position;
};

template <DType kType, bool kIsMin>
struct PositionFold : PlainFold<PositionFold<kType, kIsMin>, Best<typename Element<kType>::Value>> {
  static constexpr DType kDType = kType;
  using Stored = typename Element<kType>::Stored;
  using By = Order<kType, kIsMin>;
  using P = Best<typename Element<kType>::Value>;
  static constexpr bool kHasPosition = true;

  /// Any element is better, or as bad and before it.
  static __device__ P nothing() { return {By::kWorst, kNowhere}; }
  template <typename Running>
  static __device__ void add(Running& running, typename Element<kType>::Value value, std::int64_t position) {
    merge(running.value, {value, position});
  }
  /// Positions only grow here, so a vector must be better to count.
  template <typename Running>
  static __device__ void add_vector(Running& running, const Vector<kType>& vector, std::int64_t position) {
    const auto best = By::best_of(vector);
    if (By::is_better(best, running.value.value) || running.value.position == kNowhere) {
      running.value = {best, position};
    }
  }
  static __device__ void merge(P& a, const P& b) {
    if (By::is_better(b.value, a.value) || (b.position < a.position && By::is_same(a.value, b.value))) a = b;
  }

  static __device__ void finish(const ReducePlan& plan, const P& best, const Place& place) {
    std::int64_t position = best.position;
    if (plan.is_dense) {
      const auto* const elements = static_cast<const Stored*>(plan.input) + place.input;
      while (!By::is_same(Element<kType>::load(elements[position]), best.value)) ++position;
      if (plan.values != nullptr) static_cast<Stored*>(plan.values)[place.output] = elements[position];
    } else if (plan.values != nullptr) {
      static_cast<Stored*>(plan.values)[place.output] = Element<kType>::store(best.value);
    }
    static_cast<std::int64_t*>(plan.output)[place.output] = position;
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
