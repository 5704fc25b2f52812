// prod.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/prod.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/fold-inl.h"
#include "backends/host/reduce/reducer.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {
namespace {

template <DType kType>
struct FinishProd {
  using Result = std::conditional_t<is_floating(kType), typename Element<kType>::Stored, std::int64_t>;
  template <typename T>
  static Result finish(T total, const ReduceWork& /*work*/) {
    if constexpr (is_floating(kType)) {
      return Element<kType>::store(total);
    } else {
      return static_cast<std::int64_t>(total);
    }
  }
};

}  // namespace

const Reducer* prod_table(DType dtype) {
  return for_type(dtype, []<DType kType>() -> const Reducer* {
    return &FoldReducer<ProdFold<kType>, kType, FinishProd<kType>>::kTable;
  });
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::host {
HWY_EXPORT(prod_table);
const Reducer& prod_reducer(DType dtype) noexcept {
  return *HWY_DYNAMIC_DISPATCH(prod_table)(dtype);
}
}  // namespace millrace::host
#endif
