// Inferences a second, and the memory that they took.
#pragma once

#include <cstdint>

#include "model.h"

namespace millrace_torch::bench {

struct Measured {
  double inferences_per_second;
  std::uint64_t device_bytes;  // what the device had less at the end than before the process's first allocation
};

/// The device's memory that is free.
std::uint64_t free_bytes();

/// Inferences from threads with a stream each, each waited for as a server would. They begin at `begin`, in seconds
/// since 1970, so that several processes begin at once; 0: when all are warm. Ends the process with status 1 where one
/// fails, and throws std::runtime_error where `begin` was too early for the warming up.
Measured measure(const Model& model, int threads, double seconds, double begin, std::uint64_t free_before);

}  // namespace millrace_torch::bench
