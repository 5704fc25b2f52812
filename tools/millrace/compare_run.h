// Holds the tensors of two checkpoints against each other, with many threads.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "compare_kernels.h"
#include "compare_match.h"
#include "formats/tensor_file.h"

namespace millrace::tool {

struct CompareResult {
  /// One a pair that is comparable(); nothing for the others and where an interruption came first.
  std::vector<std::optional<Difference>> differences;
  bool interrupted = false;
  int threads = 0;
  double seconds = 0;
  std::uint64_t bytes = 0;  ///< of elements looked at, of both
};

/// Pieces of both files, mapped, are compared on the host; memory stays bounded, and the result does not
/// depend on the number of threads. Ends early when interrupted() says so. Throws the first failure of any
/// thread, after all have ended.
CompareResult run_compare(const std::vector<TensorFile>& first, const std::vector<TensorFile>& second,
                          const std::vector<TensorPair>& pairs, int threads, bool show_progress);

}  // namespace millrace::tool
