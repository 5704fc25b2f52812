// any, all, and the counts of zeros, NaNs and infinities.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/logic.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstdint>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/fold-inl.h"
#include "backends/host/reduce/reducer.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {
namespace {

template <typename As>
struct FinishAs {
  using Result = As;
  template <typename T>
  static Result finish(T total, const ReduceWork& /*work*/) {
    return static_cast<Result>(total);
  }
};

template <DType kType, ReduceOp kOp>
constexpr const Reducer* kCount = &FoldReducer<CountFold<kType, kOp>, kType, FinishAs<std::int64_t>>::kTable;
template <DType kType, bool kIsAny>
constexpr const Reducer* kLogic =
    &FoldReducer<LogicFold<kType, kIsAny>, kType, FinishAs<std::uint8_t>>::kTable;

}  // namespace

const Reducer* logic_table(ReduceOp op, DType dtype) {
  return for_type(dtype, [op]<DType kType>() -> const Reducer* {
    switch (op) {
      case ReduceOp::any: return kLogic<kType, true>;
      case ReduceOp::all: return kLogic<kType, false>;
      case ReduceOp::count_zero: return kCount<kType, ReduceOp::count_zero>;
      case ReduceOp::count_nan: return kCount<kType, ReduceOp::count_nan>;
      default: return kCount<kType, ReduceOp::count_inf>;
    }
  });
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::host {
HWY_EXPORT(logic_table);
const Reducer& logic_reducer(ReduceOp op, DType dtype) noexcept {
  return *HWY_DYNAMIC_DISPATCH(logic_table)(op, dtype);
}
}  // namespace millrace::host
#endif
