// The driver's functions that the runtime has no equal of.
#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/util/Exception.h>
#include <cuda.h>
#include <cuda_runtime_api.h>

namespace millrace_torch {

/// A function of the driver's by its name, found once a call site:
/// driver_function<decltype(&cuMemMap)>("cuMemMap"). Throws c10::Error where the driver has none.
template <typename Function>
Function driver_function(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult answer = cudaDriverEntryPointSymbolNotFound;
  C10_CUDA_CHECK(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &answer));
  TORCH_CHECK(answer == cudaDriverEntryPointSuccess && found != nullptr, "the NVIDIA driver has no ", name,
              ": a newer one is needed for this");
  return reinterpret_cast<Function>(found);
}

inline void check_driver(CUresult result, const char* what) {
  TORCH_CHECK(result == CUDA_SUCCESS, "the NVIDIA driver failed to ", what, ": error ",
              static_cast<int>(result));
}

}  // namespace millrace_torch
