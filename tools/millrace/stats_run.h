// Runs the statistics of a list of files on a device with many threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/device.h>
#include <millrace/reduce.h>

#include "formats/tensor_file.h"

namespace millrace::tool {

struct StatsResult {
  /// One a tensor, in the order of the files; nothing where an interruption came first.
  std::vector<std::optional<Statistics>> tensors;
  bool interrupted = false;
  int threads = 0;
  double seconds = 0;
  std::uint64_t bytes = 0;  ///< of elements looked at
};

/// The files' tensors through the device: each of at most this many workers, with the stream the
/// device gives its thread, takes batches off a list until none is left. The result does not depend on
/// which worker took which.
///
/// Ends early when interrupted() says so. Throws the first failure of any worker, after all have ended.
StatsResult run_stats(const Device& device, const std::vector<TensorFile>& files, int threads,
                      bool show_progress);

}  // namespace millrace::tool
