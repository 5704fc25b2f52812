#include "measure.h"

#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace millrace_torch::bench {
namespace {

void infer(const Model& model, std::barrier<>& start, const std::atomic<bool>& stop, std::int64_t& done) {
  const c10::InferenceMode inference;
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  c10::cuda::setCurrentCUDAStream(stream);
  const at::Tensor input = model.make_input();
  const auto once = [&] {
    const at::Tensor output = model.infer(input);
    stream.synchronize();
  };
  for (int i = 0; i < 50; ++i) once();
  start.arrive_and_wait();  // all are warm
  start.arrive_and_wait();  // begin
  std::int64_t count = 0;
  for (; !stop.load(std::memory_order_relaxed); ++count) once();  // relaxed: a flag
  done = count;
}

void wait_until(double begin) {
  if (begin == 0) return;
  const std::chrono::system_clock::time_point at(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::duration<double>(begin)));
  const auto late = std::chrono::duration<double>(std::chrono::system_clock::now() - at).count();
  if (late > 0)
    throw std::runtime_error("the threads were warm " + std::to_string(late) +
                             " s after --begin; give a later one");
  std::this_thread::sleep_until(at);
}

}  // namespace

std::uint64_t free_bytes() {
  std::size_t left = 0, all = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&left, &all));
  return left;
}

Measured measure(const Model& model, int threads, double seconds, double begin, std::uint64_t free_before) {
  std::barrier<> start(threads + 1);
  std::atomic<bool> stop{false};
  std::vector<std::int64_t> done(static_cast<std::size_t>(threads) * 16);  // a cache line each
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      try {
        infer(model, start, stop, done[static_cast<std::size_t>(i) * 16]);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        std::_Exit(1);
      }
    });
  }
  start.arrive_and_wait();
  std::string late;
  try {
    wait_until(begin);
  } catch (const std::runtime_error& error) {
    late = error.what();
    stop.store(true, std::memory_order_relaxed);
  }
  start.arrive_and_wait();
  const auto began = std::chrono::steady_clock::now();
  if (late.empty()) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : running) thread.join();
  if (!late.empty()) throw std::runtime_error(late);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::int64_t sum = 0;
  for (const std::int64_t count : done) sum += count;
  const std::uint64_t left = free_bytes();
  return {static_cast<double>(sum) / took.count(), free_before > left ? free_before - left : 0};
}

}  // namespace millrace_torch::bench
