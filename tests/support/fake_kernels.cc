#include "support/fake_kernels.h"

#include <atomic>
#include <mutex>
#include <span>
#include <utility>

#include "backends/cuda/reduce/launch.h"
#include "support/fake_cuda.h"

namespace millrace::test {
namespace {

struct Kernels {
  std::mutex mutex;
  std::function<void(const FakeLaunch&)> run;
  std::atomic<cudaError_t> answer{cudaSuccess};
  std::atomic<std::size_t> launches{0};
};
Kernels& kernels() {
  static Kernels all;
  return all;
}

cudaError_t launch(const cuda::ReducePlan& plan, std::span<const cuda::PackItem> items, cudaStream_t stream) {
  Kernels& all = kernels();
  if (const cudaError_t answer = all.answer.load(); answer != cudaSuccess) return answer;
  all.launches.fetch_add(1);
  const std::lock_guard lock(all.mutex);
  run_on_fake_stream(stream, [run = all.run, launch = FakeLaunch{plan, {items.begin(), items.end()}}] {
    if (run) run(launch);
  });
  return cudaSuccess;
}

}  // namespace

void set_fake_cuda_kernels(std::function<void(const FakeLaunch&)> run) {
  const std::lock_guard lock(kernels().mutex);
  kernels().run = std::move(run);
}

void refuse_fake_cuda_launches(cudaError_t answer) {
  kernels().answer.store(answer);
}

std::size_t fake_cuda_launches() {
  return kernels().launches.load();
}

void play_fake_launches() {
  cuda::replace_launcher(&launch);
}

}  // namespace millrace::test
