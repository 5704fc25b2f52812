// min and max.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/extremes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/fold-inl.h"
#include "backends/host/reduce/reducer.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {
namespace {

template <DType kType>
struct FinishExtreme {
  using Result = typename Element<kType>::Stored;
  static Result finish(typename Element<kType>::Value extreme, const ReduceWork& /*work*/) {
    return Element<kType>::store(extreme);
  }
};

}  // namespace

const Reducer* extreme_table(ReduceOp op, DType dtype) {
  return for_type(dtype, [op]<DType kType>() -> const Reducer* {
    if (op == ReduceOp::min)
      return &FoldReducer<ExtremeFold<kType, true>, kType, FinishExtreme<kType>>::kTable;
    return &FoldReducer<ExtremeFold<kType, false>, kType, FinishExtreme<kType>>::kTable;
  });
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::host {
HWY_EXPORT(extreme_table);
const Reducer& extreme_reducer(ReduceOp op, DType dtype) noexcept {
  return *HWY_DYNAMIC_DISPATCH(extreme_table)(op, dtype);
}
}  // namespace millrace::host
#endif
