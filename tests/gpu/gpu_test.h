// What tests on a real GPU have in common.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <string>

#include "support/test_device.h"

namespace millrace::test {

inline cudaStream_t driver_stream(const NativeRecorder& recorder) {
  return static_cast<cudaStream_t>(recorder.stream());
}

/// Why tests on a GPU can't run here; empty if they can.
inline std::string no_gpu() {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess) return std::string("no CUDA device: ") + cudaGetErrorString(found);
  return count == 0 ? "no CUDA device" : "";
}

/// Skips where there is no GPU.
class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  }
};

}  // namespace millrace::test
