// Runs the statistics of a list of files on a device with many threads.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <millrace/device.h>

#include "formats/tensor_file.h"
#include "stats_collect.h"

namespace millrace::tool {

struct StatsOptions {
  int threads = 1;
  std::optional<std::int64_t> channel_dim;  ///< negative from the end
  bool in_place = true;  ///< the device reads mapped files, if it can; else batches are copied to it
  bool show_progress = false;
  /// What an earlier run has found, one a tensor or none at all; it is not computed again.
  std::vector<std::optional<TensorStatistics>> known;
};

struct StatsResult {
  /// One a tensor, in the order of the files; nothing where an interruption came first.
  std::vector<std::optional<TensorStatistics>> tensors;
  std::vector<Split> splits;  ///< one a tensor
  bool interrupted = false;
  int threads = 0;
  double seconds = 0;
  std::uint64_t bytes = 0;  ///< of elements looked at
};

/// 0 where there was no time.
inline double gigabytes_per_second(const StatsResult& result) {
  return result.seconds > 0 ? static_cast<double>(result.bytes) / 1e9 / result.seconds : 0;
}

/// The files' tensors through the device: each of at most this many workers, with the stream the
/// device gives its thread, takes batches off a list until none is left. The result does not depend on how
/// many there are or on which took what.
///
/// Ends early when interrupted() says so; what is there then is the beginning of the list. Throws the first
/// failure of any worker, after all have ended.
StatsResult run_stats(const Device& device, const std::vector<TensorFile>& files,
                      const StatsOptions& options);

}  // namespace millrace::tool
