// Made-up programs whose allocations are worth a replay.
#pragma once

#include <cstdint>
#include <span>

#include "random.h"
#include "record/log_maker.h"

namespace millrace::tool {

struct WorkloadOptions {
  std::uint64_t allocations = 10'000;                      ///< about; exactly for random
  std::uint64_t max_size = std::uint64_t{4} << 20;         ///< bytes of the largest block
  std::uint64_t memory_cap = std::uint64_t{16'000} << 20;  ///< bytes that are live at once, at most
  int threads = 4;
  int streams = 2;  ///< of each thread
  std::uint64_t seed = 0;
};

struct Workload {
  const char* name;
  const char* description;  ///< one line
  void (*make)(const WorkloadOptions& options, Random& random, LogMaker& log);
};

/// All end with nothing live.
std::span<const Workload> workloads();

}  // namespace millrace::tool
