#include "record/workloads.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>
#include <vector>

#include "random_steps.h"

namespace millrace::tool {
namespace {

using Block = LogMaker::Block;

std::uint64_t sized(const WorkloadOptions& options, std::uint64_t bytes) {
  return std::clamp<std::uint64_t>(bytes, 1, options.max_size);
}

void make_random(const WorkloadOptions& options, Random& random, LogMaker& log) {
  std::vector<Block> live;
  random_steps(
      {options.allocations, options.max_size, options.memory_cap}, random,
      [&](std::uint64_t bytes) { live.push_back(log.allocate(0, 0, bytes)); },
      [&](std::size_t victim) {
        std::swap(live[victim], live.back());
        log.release(0, 0, live.back());
        live.pop_back();
      });
}

/// Threads that each have streams of their own and pass a third of their blocks on: the next thread frees
/// them.
void make_multistream(const WorkloadOptions& options, Random& random, LogMaker& log) {
  constexpr std::size_t kLive = 64;  // blocks a thread holds
  struct Held {
    Block block;
    std::size_t stream;
  };
  const auto threads = static_cast<std::size_t>(options.threads);
  const auto streams = static_cast<std::size_t>(options.streams);
  std::vector<std::vector<Held>> held(threads);
  const auto free_one = [&](std::size_t thread) {
    std::vector<Held>& mine = held[thread];
    std::swap(mine[random.below(mine.size())], mine.back());
    log.release(thread, mine.back().stream, mine.back().block);
    mine.pop_back();
  };
  for (std::uint64_t i = 0; i < options.allocations; ++i) {
    const auto thread = static_cast<std::size_t>(random.below(threads));
    const std::uint64_t bytes =
        sized(options, random.log_uniform(256, std::max(options.max_size, std::uint64_t{257})));
    while (!held[thread].empty() &&
           (held[thread].size() >= kLive || log.live() + bytes > options.memory_cap)) {
      free_one(thread);
    }
    if (log.live() + bytes > options.memory_cap) continue;
    const std::size_t stream = thread * streams + static_cast<std::size_t>(random.below(streams));
    const Block block = log.allocate(thread, stream, bytes);
    held[random.one_in(3) ? (thread + 1) % threads : thread].push_back({block, stream});
  }
  for (std::size_t thread = 0; thread < threads; ++thread) {
    while (!held[thread].empty()) free_one(thread);
  }
}

/// Training steps as PyTorch runs them: weights and optimizer state stay; the forward pass of one thread
/// piles up activations, whose sizes follow a batch length that changes from step to step; the backward pass
/// on autograd's thread frees them from the last to the first and makes gradients and temporaries; inputs
/// come on a stream of a third thread, two steps ahead.
void make_training(const WorkloadOptions& options, Random& random, LogMaker& log) {
  constexpr std::size_t kMain = 0, kAutograd = 1, kLoader = 2;
  constexpr std::size_t kCompute = 0, kCopy = 1;
  constexpr std::size_t kLayers = 24;
  constexpr std::uint64_t kEventsOfStep = kLayers * 6;
  std::vector<Block> weights;
  const std::uint64_t width = std::max(options.max_size / 8, std::uint64_t{1});
  for (std::size_t layer = 0; layer < kLayers; ++layer) {
    // The weight, its two moments, and a bias.
    for (const std::uint64_t bytes : {width, width, width, width / 256}) {
      weights.push_back(log.allocate(kMain, kCompute, sized(options, bytes)));
    }
  }
  std::deque<Block> inputs;
  const std::uint64_t steps = std::max(options.allocations / kEventsOfStep, std::uint64_t{1});
  for (std::uint64_t step = 0; step < steps; ++step) {
    while (inputs.size() < 2) {
      inputs.push_back(log.allocate(kLoader, kCopy, sized(options, width / 16 + random.below(width))));
    }
    const std::uint64_t length = 16 + random.below(113);  // of 128
    std::vector<Block> activations, gradients;
    for (std::size_t layer = 0; layer < kLayers; ++layer) {
      const Block workspace = log.allocate(kMain, kCompute, sized(options, options.max_size * length / 256));
      activations.push_back(log.allocate(kMain, kCompute, sized(options, options.max_size * length / 128)));
      activations.push_back(log.allocate(kMain, kCompute, sized(options, width * length / 128)));
      log.release(kMain, kCompute, workspace);
    }
    for (std::size_t layer = 0; layer < kLayers; ++layer) {
      const Block temporary =
          log.allocate(kAutograd, kCompute, sized(options, options.max_size * length / 128));
      gradients.push_back(log.allocate(kAutograd, kCompute, sized(options, width)));
      for (int i = 0; i < 2; ++i) {
        log.release(kAutograd, kCompute, activations.back());
        activations.pop_back();
      }
      log.release(kAutograd, kCompute, temporary);
    }
    log.release(kMain, kCompute, inputs.front());
    inputs.pop_front();
    for (const Block& gradient : gradients) log.release(kMain, kCompute, gradient);
  }
  for (const Block& input : inputs) log.release(kMain, kCompute, input);
  for (const Block& weight : weights) log.release(kMain, kCompute, weight);
}

/// Requests of any length on threads with a stream each: a request's cache doubles as it grows, copying from
/// the old block to the new, and each of its tokens takes temporaries; it ends after a random number of
/// tokens.
void make_serving(const WorkloadOptions& options, Random& random, LogMaker& log) {
  struct Request {
    Block cache;
    std::uint64_t tokens = 0, last = 0;
  };
  const auto threads = static_cast<std::size_t>(options.threads);
  const std::uint64_t token = std::max(options.max_size / 1024, std::uint64_t{1});  // bytes
  std::vector<Request> requests(threads);
  const auto end = [&](std::size_t thread) {
    log.release(thread, thread, requests[thread].cache);
    requests[thread] = {};
  };
  for (std::uint64_t i = 0; i < options.allocations / 2; ++i) {
    const auto thread = static_cast<std::size_t>(random.below(threads));
    Request& request = requests[thread];
    if (request.last == 0) {
      request.tokens = random.log_uniform(1, 512);
      request.last = request.tokens + 1 + random.below(256);
      request.cache = log.allocate(thread, thread, sized(options, token * request.tokens));
    }
    const Block temporary = log.allocate(thread, thread, sized(options, token * (4 + random.below(60))));
    if (++request.tokens * token > request.cache.bytes) {
      const Block larger = log.allocate(thread, thread, sized(options, request.cache.bytes * 2));
      log.release(thread, thread, request.cache);
      request.cache = larger;
    }
    log.release(thread, thread, temporary);
    if (request.tokens >= request.last) end(thread);
  }
  for (std::size_t thread = 0; thread < threads; ++thread) {
    if (requests[thread].last != 0) end(thread);
  }
}

constexpr Workload kWorkloads[] = {
    {"random", "RMM's random_allocations benchmark: one thread, one stream, uniform sizes up to --max-size",
     make_random},
    {"multistream",
     "--threads threads with --streams streams each; a third of all blocks is freed by another thread",
     make_multistream},
    {"training",
     "PyTorch-like steps: activations of changing sizes, freed by the thread of the backward pass",
     make_training},
    {"serving", "--threads threads with a stream each; caches of requests that double as they grow",
     make_serving},
};

}  // namespace

std::span<const Workload> workloads() {
  return kWorkloads;
}

}  // namespace millrace::tool
