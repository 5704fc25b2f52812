// Inferences a second by threads that have a stream each: how much of them an allocator lets through. One
// allocator a process:
//
//   millrace_torch_bench --allocator stock|millrace|ceiling|NAME [--peers FOLDER]
//                        [--model encoder|resnet50|FILE.pt2] [--threads 1,2,4,8,16] [--seconds 3]
//                        [--layers 6] [--width 384] [--heads 12] [--batch 1] [--length 32]
//                        [--begin SECONDS]
//
// A line of JSON for each number of threads. NAME: an allocator of those that scripts/build-peers built into FOLDER,
// behind CUDAPluggableAllocator. FILE.pt2: what checks/package.py compiled. --begin: when to begin, in seconds since
// 1970, for processes that are measured together.
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "allocators.h"
#include "measure.h"
#include "model.h"

namespace millrace_torch::bench {
namespace {

struct Request {
  std::string allocator = "stock", peers, model = "encoder";
  std::vector<int> threads{1, 2, 4, 8, 16};
  double seconds = 3, begin = 0;
  Shape shape;
};

std::int64_t number_in(const char* text) {
  std::int64_t value = 0;
  const char* const end = text + std::strlen(text);
  if (std::from_chars(text, end, value).ptr != end || value < 1)
    throw std::invalid_argument(std::string(text) + " was given where a whole number from 1 up is expected");
  return value;
}

double seconds_in(const char* text) {
  double value = 0;
  const char* const end = text + std::strlen(text);
  if (std::from_chars(text, end, value).ptr != end || !(value > 0))
    throw std::invalid_argument(std::string(text) + " was given where seconds, more than 0, are expected");
  return value;
}

std::vector<int> numbers_in(const std::string& text) {
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
    const char* const value = words[i + 1];
    if (name == "--allocator")
      request.allocator = value;
    else if (name == "--peers")
      request.peers = value;
    else if (name == "--model")
      request.model = value;
    else if (name == "--threads")
      request.threads = numbers_in(value);
    else if (name == "--seconds")
      request.seconds = seconds_in(value);
    else if (name == "--begin")
      request.begin = seconds_in(value);
    else if (name == "--layers")
      request.shape.layers = number_in(value);
    else if (name == "--width")
      request.shape.width = number_in(value);
    else if (name == "--heads")
      request.shape.heads = number_in(value);
    else if (name == "--batch")
      request.shape.batch = number_in(value);
    else if (name == "--length")
      request.shape.length = number_in(value);
    else
      throw std::invalid_argument("there is no option " + name);
  }
  if (count % 2 == 0) throw std::invalid_argument(std::string(words[count - 1]) + " has no value");
  return request;
}

std::unique_ptr<Model> model_of(const Request& request) {
  if (request.model == "encoder") return make_encoder(request.shape);
  if (request.model == "resnet50") return make_resnet50(request.shape);
  if (request.model.ends_with(".pt2"))
    return open_package(request.model, request.shape, std::ranges::max(request.threads));
  throw std::invalid_argument("--model is encoder, resnet50 or a file .pt2, not " + request.model);
}

void run(const Request& request) {
  choose_allocator(request.allocator, request.peers);
  at::globalContext().lazyInitDevice(at::kCUDA);
  const std::uint64_t free_before = free_bytes();
  const c10::InferenceMode inference;
  const std::unique_ptr<Model> model = model_of(request);
  for (const int threads : request.threads) {
    const Measured measured = measure(*model, threads, request.seconds, request.begin, free_before);
    std::printf(
        "{\"allocator\": \"%s\", \"backend\": \"%s\", \"model\": \"%s\", \"threads\": %d, "
        "\"inferences_per_second\": %.1f, \"device_bytes\": %llu, \"layers\": %ld, \"width\": %ld, "
        "\"batch\": %ld, \"length\": %ld, \"seconds\": %.1f}\n",
        request.allocator.c_str(), c10::cuda::CUDACachingAllocator::name().c_str(), request.model.c_str(),
        threads, measured.inferences_per_second, static_cast<unsigned long long>(measured.device_bytes),
        request.shape.layers, request.shape.width, request.shape.batch, request.shape.length,
        request.seconds);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace millrace_torch::bench

int main(int count, char** words) try {
  millrace_torch::bench::run(millrace_torch::bench::request_in(count, words));
  // Without the destructors of what is static: in a program that is linked to it, libtorch_cpu 2.11's abort, with
  // every allocator.
  std::_Exit(0);
} catch (const c10::Error& error) {
  std::fprintf(stderr, "%s\n", error.what_without_backtrace());
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
