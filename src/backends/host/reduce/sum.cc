// sum, mean and norm.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/sum.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/fold-inl.h"
#include "backends/host/reduce/reducer.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {
namespace {

/// Floats come back as they went in, integers as Otherwise.
template <DType kType, typename Otherwise>
struct Results {
  using Result = std::conditional_t<is_floating(kType), typename Element<kType>::Stored, Otherwise>;
  template <typename T>
  static Result store(T value) {
    if constexpr (is_floating(kType)) {
      return Element<kType>::store(static_cast<typename Element<kType>::Value>(value));
    } else {
      return static_cast<Otherwise>(value);
    }
  }
};

template <DType kType>
struct FinishSum : Results<kType, std::int64_t> {
  template <typename T>
  static auto finish(T total, const ReduceWork& /*work*/) {
    return FinishSum::store(total);
  }
};

template <DType kType>
struct FinishMean : Results<kType, double> {
  template <typename T>
  static auto finish(T total, const ReduceWork& work) {
    return FinishMean::store(work.reduced_count == 0
                                 ? std::numeric_limits<double>::quiet_NaN()
                                 : static_cast<double>(total) / static_cast<double>(work.reduced_count));
  }
};

template <DType kType>
struct FinishNorm : Results<kType, double> {
  template <typename T>
  static auto finish(T total, const ReduceWork& /*work*/) {
    return FinishNorm::store(std::sqrt(total));
  }
};

}  // namespace

const Reducer* sum_table(ReduceOp op, DType dtype) {
  return for_type(dtype, [op]<DType kType>() -> const Reducer* {
    if (op == ReduceOp::norm) return &FoldReducer<SquareFold<kType>, kType, FinishNorm<kType>>::kTable;
    if (op == ReduceOp::mean) return &FoldReducer<SumFold<kType, double>, kType, FinishMean<kType>>::kTable;
    return &FoldReducer<SumFold<kType, std::uint64_t>, kType, FinishSum<kType>>::kTable;
  });
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::host {
HWY_EXPORT(sum_table);
const Reducer& sum_reducer(ReduceOp op, DType dtype) noexcept {
  return *HWY_DYNAMIC_DISPATCH(sum_table)(op, dtype);
}
}  // namespace millrace::host
#endif
