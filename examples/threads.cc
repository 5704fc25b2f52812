// Eight threads share one device; each has a stream of its own, allocates, sums a million numbers and waits.
#include <millrace/millrace.h>

#include <cstdio>
#include <thread>
#include <vector>

int main() {
  millrace::Device device = millrace::Device::open();
  std::vector<float> sums(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    threads.emplace_back([&, i] {
      const std::vector<float> numbers(1'000'000, static_cast<float>(i));
      millrace::Stream stream = device.stream();  // this thread's own, until it ends
      millrace::Buffer in = device.buffer(numbers.size() * sizeof(float)), out = device.buffer(sizeof(float));
      stream.copy(in.data(), numbers.data(), in.size());
      reduce(stream, millrace::ReduceOp::sum, contiguous(in.data(), millrace::DType::f32, {1000, 1000}),
             contiguous(out.data(), millrace::DType::f32, {}));
      stream.copy(&sums[i], out.data(), out.size());
      stream.wait();  // hands over what was recorded, and throws if any of it failed
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    std::printf("thread %zu: %.0f\n", i, sums[i]);
    if (sums[i] != static_cast<float>(i) * 1e6f) return 1;
  }
}
