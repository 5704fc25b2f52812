// Inferences a second of a transformer's encoder, eager, by threads that have a stream each: how much of them
// an allocator lets through. One allocator a process:
//
//   millrace_torch_transformer --allocator stock|millrace|ceiling [--threads 1,2,4,8,16] [--seconds 3]
//   [--layers 6]
//                              [--width 384] [--heads 12] [--batch 1] [--length 32]
//
// A line of JSON for each number of threads.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>

#include <atomic>
#include <barrier>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ceiling.h"
#include "millrace_torch/cuda.h"

namespace {

struct Request {
  std::string allocator = "stock";
  std::vector<int> threads{1, 2, 4, 8, 16};
  double seconds = 3;
  std::int64_t layers = 6, width = 384, heads = 12, batch = 1, length = 32;
};

struct Layer {
  at::Tensor in_weight, in_bias, out_weight, out_bias, up_weight, up_bias, down_weight, down_bias;
  at::Tensor norm1_weight, norm1_bias, norm2_weight, norm2_bias;
};

class Encoder {
 public:
  explicit Encoder(const Request& request) : request_(request) {
    const auto on = at::TensorOptions().device(at::kCUDA).dtype(at::kHalf);
    const std::int64_t width = request.width, hidden = 4 * width;
    const auto weight = [&](std::int64_t to, std::int64_t from) { return at::randn({to, from}, on) * 0.02; };
    for (std::int64_t i = 0; i < request.layers; ++i) {
      layers_.push_back({weight(3 * width, width), at::zeros({3 * width}, on), weight(width, width),
                         at::zeros({width}, on), weight(hidden, width), at::zeros({hidden}, on),
                         weight(width, hidden), at::zeros({width}, on), at::ones({width}, on),
                         at::zeros({width}, on), at::ones({width}, on), at::zeros({width}, on)});
    }
  }

  at::Tensor operator()(at::Tensor x) const {
    for (const Layer& layer : layers_) {
      x = at::layer_norm(x + attention(layer, x), {request_.width}, layer.norm1_weight, layer.norm1_bias);
      const at::Tensor up = at::gelu(at::linear(x, layer.up_weight, layer.up_bias));
      x = at::layer_norm(x + at::linear(up, layer.down_weight, layer.down_bias), {request_.width},
                         layer.norm2_weight, layer.norm2_bias);
    }
    return x;
  }

 private:
  at::Tensor attention(const Layer& layer, const at::Tensor& x) const {
    const std::int64_t size = request_.width / request_.heads;
    const at::Tensor all = at::linear(x, layer.in_weight, layer.in_bias)
                               .view({request_.batch, request_.length, 3, request_.heads, size})
                               .permute({2, 0, 3, 1, 4});
    const at::Tensor scores = at::matmul(all.select(0, 0), all.select(0, 1).transpose(-2, -1)) /
                              std::sqrt(static_cast<double>(size));
    const at::Tensor mixed = at::matmul(at::softmax(scores, -1), all.select(0, 2));
    return at::linear(mixed.transpose(1, 2).reshape({request_.batch, request_.length, request_.width}),
                      layer.out_weight, layer.out_bias);
  }

  const Request& request_;
  std::vector<Layer> layers_;
};

/// Inferences by one thread on a stream of its own, each waited for as a server would.
void infer(const Encoder& encoder, const Request& request, std::barrier<>& start,
           const std::atomic<bool>& stop, std::int64_t& done) {
  const c10::InferenceMode inference;
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  c10::cuda::setCurrentCUDAStream(stream);
  const at::Tensor input = at::randn({request.batch, request.length, request.width},
                                     at::TensorOptions().device(at::kCUDA).dtype(at::kHalf));
  const auto once = [&] {
    const at::Tensor output = encoder(input);
    stream.synchronize();
  };
  for (int i = 0; i < 50; ++i) once();
  start.arrive_and_wait();
  std::int64_t count = 0;
  for (; !stop.load(std::memory_order_relaxed); ++count) once();  // relaxed: a flag
  done = count;
}

double measure(const Encoder& encoder, const Request& request, int threads) {
  std::barrier<> start(threads + 1);
  std::atomic<bool> stop{false};
  std::vector<std::int64_t> done(static_cast<std::size_t>(threads) * 16);  // a cache line each
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      try {
        infer(encoder, request, start, stop, done[static_cast<std::size_t>(i) * 16]);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        std::_Exit(1);
      }
    });
  }
  start.arrive_and_wait();
  const auto begin = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(request.seconds));
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : running) thread.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::int64_t sum = 0;
  for (const std::int64_t count : done) sum += count;
  return static_cast<double>(sum) / took.count();
}

std::int64_t number_in(const char* text) {
  std::int64_t value = 0;
  const char* const end = text + std::strlen(text);
  if (std::from_chars(text, end, value).ptr != end || value < 1)
    throw std::invalid_argument(std::string(text) + " was given where a whole number from 1 up is expected");
  return value;
}

std::vector<int> numbers_in(std::string text) {
  std::vector<int> numbers;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    numbers.push_back(static_cast<int>(number_in(text.substr(begin, end - begin).c_str())));
    begin = end + 1;
  }
  return numbers;
}

Request request_in(int count, char** words) {
  Request request;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = words[i];
    if (name == "--allocator")
      request.allocator = words[i + 1];
    else if (name == "--threads")
      request.threads = numbers_in(words[i + 1]);
    else if (name == "--seconds")
      request.seconds = std::stod(words[i + 1]);
    else if (name == "--layers")
      request.layers = number_in(words[i + 1]);
    else if (name == "--width")
      request.width = number_in(words[i + 1]);
    else if (name == "--heads")
      request.heads = number_in(words[i + 1]);
    else if (name == "--batch")
      request.batch = number_in(words[i + 1]);
    else if (name == "--length")
      request.length = number_in(words[i + 1]);
    else
      throw std::invalid_argument("there is no option " + name);
  }
  if (count % 2 == 0) throw std::invalid_argument(std::string(words[count - 1]) + " has no value");
  if (request.width % request.heads != 0) throw std::invalid_argument("--heads must divide --width");
  return request;
}

void choose_allocator(const std::string& name) {
  if (name == "stock") return;
  if (name == "millrace") return millrace_torch::install_cuda_allocator();
  if (name != "ceiling")
    throw std::invalid_argument("--allocator is stock, millrace or ceiling, not " + name);
  static auto* const ceiling = new std::shared_ptr<c10::cuda::CUDACachingAllocator::CUDAAllocator>(
      new millrace_torch::bench::CeilingAllocator);
  torch::cuda::CUDAPluggableAllocator::changeCurrentAllocator(*ceiling);
  c10::SetAllocator(c10::kCUDA, ceiling->get(), 1);
}

}  // namespace

int main(int count, char** words) try {
  const Request request = request_in(count, words);
  choose_allocator(request.allocator);
  at::globalContext().lazyInitDevice(at::kCUDA);
  const c10::InferenceMode inference;
  const Encoder encoder(request);
  for (const int threads : request.threads) {
    const double rate = measure(encoder, request, threads);
    std::printf(
        "{\"allocator\": \"%s\", \"backend\": \"%s\", \"threads\": %d, \"inferences_per_second\": %.1f, "
        "\"layers\": %ld, \"width\": %ld, \"batch\": %ld, \"length\": %ld, \"seconds\": %.1f}\n",
        request.allocator.c_str(), c10::cuda::CUDACachingAllocator::name().c_str(), threads, rate,
        request.layers, request.width, request.batch, request.length, request.seconds);
    std::fflush(stdout);
  }
  // Without the destructors of what is static: in a program that is linked to it, libtorch_cpu 2.11's abort, with every
  // allocator.
  std::_Exit(0);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
