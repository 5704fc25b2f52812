// The bench alloc subcommand's work, for the tour as well.
#pragma once

#include <string>
#include <vector>

#include "bench_report.h"

namespace millrace::tool {

struct AllocBenchRequest {
  std::vector<int> threads{1, 2, 4, 8};
  std::string device = "auto";
  int repetitions = 5;
  int milliseconds = 50;  ///< of each repetition of each row
};

/// The rows of all allocators, cases and thread counts, measured in turn so that whatever else the
/// machine does meets all of them alike.
std::vector<BenchRow> bench_alloc(const AllocBenchRequest& request);

void print_alloc_bench(const std::vector<BenchRow>& rows);

}  // namespace millrace::tool
