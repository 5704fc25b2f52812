// Opens the device under test before any test runs: where that fails, all of them are skipped and told why.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <cstdlib>

#include "support/test_device.h"
#ifdef MILLRACE_HAS_CUDA
#include "support/fake_cuda.h"
#endif

namespace millrace::test {
namespace {

class DeviceEnvironment final : public testing::Environment {
  void SetUp() override {
#ifdef MILLRACE_HAS_CUDA
    if (std::getenv("MILLRACE_TEST_FAKE_CUDA") != nullptr) install_fake_cuda();
#endif
    try {
      create_test_device();
    } catch (const Error& error) {
      // Every machine has the host backend: not to get it is a failure.
      ASSERT_FALSE(on_host_backend()) << error.what();
      // cmake/MillraceTests.cmake looks for the first words.
      GTEST_SKIP() << "every test is skipped: " << test_device_name() << " can't be opened: " << error.what();
    }
  }
};

// Owned by the test framework, which asks it before the first test.
[[maybe_unused]] const testing::Environment* const environment =
    testing::AddGlobalTestEnvironment(new DeviceEnvironment);

}  // namespace
}  // namespace millrace::test
