#include "backends/cuda/reduce/launch.h"

#include <algorithm>

#include "backends/cuda/reduce/kernels.h"
#include "sync/atomic.h"

namespace millrace::cuda {
namespace {

constinit sync::atomic<ReductionLauncher> replacement{nullptr};

}  // namespace

cudaError_t launch_items(const ReducePlan& plan, std::span<const PackItem> items, cudaStream_t stream) {
  // acquire: pairs with the release in replace_launcher.
  const ReductionLauncher stand_in = replacement.load(std::memory_order_acquire);
  if (stand_in != nullptr) return stand_in(plan, items, stream);
  const ReduceKernels kernels = kernels_for(plan);
  if (items.size() == 1)
    return kernels.launch(plan, items.front().accumulators, items.front().tickets, stream);
  Pack pack;
  std::ranges::copy(items, pack.items);
  return kernels.launch_pack(plan, pack, static_cast<int>(items.size()), stream);
}

void replace_launcher(ReductionLauncher stand_in) noexcept {
  // release: pairs with the acquire in launch_items.
  replacement.store(stand_in, std::memory_order_release);
}

}  // namespace millrace::cuda
