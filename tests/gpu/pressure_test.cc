// Another process takes nearly all of the device's memory.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "gpu/gpu_test.h"

extern char** environ;

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20, kGiB = std::size_t{1} << 30;

class GpuPressure : public GpuTest {};

/// This program again, running the test below, which holds all but so much of the device until it is ended.
class OtherProcess {
 public:
  explicit OtherProcess(std::size_t leaves) {
    int ends[2] = {-1, -1};
    if (pipe(ends) != 0) return;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 3);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    const std::string left = std::to_string(leaves);
    setenv("MILLRACE_TEST_LEAVE", left.c_str(), 1);
    const char* const arguments[] = {"gpu", "--gtest_also_run_disabled_tests",
                                     "--gtest_filter=GpuPressure.DISABLED_HoldsTheDevice", nullptr};
    const int spawned = posix_spawn(&process_, "/proc/self/exe", &actions, nullptr,
                                    const_cast<char* const*>(arguments), environ);
    unsetenv("MILLRACE_TEST_LEAVE");
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    char told = 0;
    holds_ = spawned == 0 && read(ends[0], &told, 1) == 1;
    close(ends[0]);
  }
  ~OtherProcess() {
    if (process_ <= 0) return;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  bool holds() const { return holds_; }

 private:
  pid_t process_ = -1;
  bool holds_ = false;
};

// Not a test, but what OtherProcess runs.
TEST_F(GpuPressure, DISABLED_HoldsTheDevice) {
  const char* const leave = std::getenv("MILLRACE_TEST_LEAVE");
  if (leave == nullptr) GTEST_SKIP() << "it is no test by itself";
  const std::size_t left = std::strtoull(leave, nullptr, 10);
  std::size_t step = kGiB;
  for (std::size_t free = 0, total = 0; step >= 2 * kMiB;) {
    ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    void* taken = nullptr;
    if (free < left + step || cudaMalloc(&taken, step) != cudaSuccess) step /= 2;
  }
  const char told = 1;
  ASSERT_EQ(write(3, &told, 1), 1);
  pause();
}

TEST_F(GpuPressure, TheProcedureRunsAndTheErrorSaysWhatTheDeviceHas) {
  Device device = Device::create("cuda:0", {.out_of_memory_wait = std::chrono::milliseconds(20)});
  StreamLease other = device.lease();
  device.buffer(other.stream(), 2 * kGiB).reset();  // empty, and ours
  const OtherProcess hog(kGiB);
  if (!hog.holds()) GTEST_SKIP() << "a second process could not take the device's memory";
  std::size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  std::printf("%zu MiB of %zu MiB are left\n", free / kMiB, total / kMiB);
  try {
    device.deallocate(device.allocate(free + 4 * kGiB));
    FAIL() << "there is no room for that";
  } catch (const OutOfMemoryError& error) {
    std::printf("%s\n", error.what());
    EXPECT_NE(error.report().refusal, "");
    EXPECT_GT(error.report().device_total, 0U);
    EXPECT_LT(error.report().device_free, free + 4 * kGiB);
    EXPECT_LT(error.report().committed + free + 4 * kGiB, error.report().limit);
  }
  EXPECT_EQ(device.memory().committed, 0U);  // all that was empty went back
  // Small blocks need memory that other blocks have left empty, and get it.
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  device.buffer(other.stream(), free / 2).reset();
  std::vector<Buffer> small;
  for (std::size_t taken = 0; taken < free / 4 * 3; taken += kMiB) small.push_back(device.buffer(kMiB));
  device.check_accounting();
}

TEST_F(GpuPressure, TheCallbackWaitsForTheOtherProcessToEnd) {
  std::optional<OtherProcess> hog;
  Device device = Device::create("cuda:0", {.on_out_of_memory =
                                                [&](std::size_t) {
                                                  const bool there = hog.has_value();
                                                  hog.reset();
                                                  return there;
                                                },
                                            .out_of_memory_wait = std::chrono::milliseconds(20)});
  hog.emplace(kGiB);
  if (!hog->holds()) GTEST_SKIP() << "a second process could not take the device's memory";
  EXPECT_NO_THROW(device.buffer(4 * kGiB));
  EXPECT_FALSE(hog);
}

}  // namespace
}  // namespace millrace::test
