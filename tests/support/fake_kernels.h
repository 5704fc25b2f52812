// What plays the kernels of reductions on the device of fake_cuda.h.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "backends/cuda/reduce/pack.h"
#include "backends/cuda/reduce/plan.h"

namespace millrace::test {

/// Reductions that share a launch.
struct FakeLaunch {
  cuda::ReducePlan plan;  ///< the first one's
  std::vector<cuda::PackItem> items;
};
/// run does what is launched, on the stream in its order. Null: nothing does.
void set_fake_cuda_kernels(std::function<void(const FakeLaunch&)> run);
/// Launches are answered with this, and do nothing then.
void refuse_fake_cuda_launches(cudaError_t answer);
/// How many there were.
std::size_t fake_cuda_launches();

/// Launches come here from then on; install_fake_cuda sees to it.
void play_fake_launches();

}  // namespace millrace::test
