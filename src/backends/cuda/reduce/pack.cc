#include "backends/cuda/reduce/pack.h"

#include "backends/cuda/reduce/measures.h"

namespace millrace::cuda {

bool is_packable(const ReducePlan& plan) noexcept {
  if (!is_tuned(plan) || plan.values != nullptr || plan.reduced_count == 0) return false;
  const auto bytes = static_cast<const char*>(plan.input_end) - static_cast<const char*>(plan.input);
  if (bytes > kMostPackedBytes) return false;
  switch (plan.regime) {
    case Regime::dense:
    case Regime::rows:
    case Regime::lanes:
    case Regime::whole: return true;
    case Regime::vectors:
    case Regime::columns:
    case Regime::few:
    case Regime::elements: return false;
  }
  return false;
}

}  // namespace millrace::cuda
