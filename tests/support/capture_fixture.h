// Captures over a driver that plays the device.
#pragma once

#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <utility>

#include "support/fake_cuda.h"

namespace millrace::test {

/// Every graph is destroyed in the end.
class CaptureFixture : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }
  void SetUp() override { ASSERT_EQ(fake_cuda_graphs(), 0U); }
  void TearDown() override {
    fail_fake_cuda(CUDA_SUCCESS);
    EXPECT_EQ(fake_cuda_graphs(), 0U);
  }
};

/// A kernel of the caller's.
template <typename Work>
void run_native(Stream stream, Work&& work) {
  const NativeRecorder native = stream.record_native();
  run_on_fake_stream(static_cast<CUstream>(native.stream()), std::forward<Work>(work));
}

}  // namespace millrace::test
