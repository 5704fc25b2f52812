// Whose memory torch uses in the bench's process.
#pragma once

#include <string>

namespace millrace_torch::bench {

/// Before CUDA is initialised, once. name: "stock" (torch's own, by PYTORCH_CUDA_ALLOC_CONF), "millrace",
/// "ceiling" (ceiling.h), or that of an allocator in one of the libraries of the folder peers, as
/// scripts/build-peers makes them ("RMM pool", "RMM arena", "cudaMallocAsync"), which torch reaches through its
/// CUDAPluggableAllocator. Throws std::invalid_argument, which says what there is.
void choose_allocator(const std::string& name, const std::string& peers);

}  // namespace millrace_torch::bench
