// Statistics of deflated tensors, which can't be cut into pieces for several workers: their bytes come
// out in order only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <millrace/reduction.h>
#include <millrace/stream.h>

#include "formats/tensor_file.h"
#include "shared_files.h"
#include "stats_collect.h"
#include "stats_plan.h"

namespace millrace::tool {

/// A plan's deflated tensors as work: each is unpacked and measured by one worker, in the pieces that it
/// would have if it were stored.
///
/// Thread safety: any thread.
class DeflatedTensors {
 public:
  DeflatedTensors(const StatsPlan& plan, const std::vector<TensorFile>& files, SharedMappings& mappings)
      : plan_(plan), files_(files), mappings_(mappings) {}

  /// What a worker brings along.
  struct Worker {
    Stream stream;
    Statistics* results = nullptr;  ///< pinned memory for those of a piece
    std::byte* host = nullptr;      ///< pinned memory for a piece, and memory of the device: both null where
    std::byte* device = nullptr;    ///< that reads ours
    std::function<bool()> stop = nullptr;               ///< asked before each piece
    std::function<void(std::uint64_t)> done = nullptr;  ///< told the bytes of each piece
    std::function<void(std::size_t tensor, std::optional<TensorStatistics> found)> found =
        nullptr;  ///< nothing: stopped
  };
  /// Takes tensors until none is left or stop says so. Throws FileFormatError for data that is damaged.
  void work(const Worker& worker);

 private:
  std::optional<TensorStatistics> measure(const DeflatedTensor& tensor, const Worker& worker) const;

  const StatsPlan& plan_;
  const std::vector<TensorFile>& files_;
  SharedMappings& mappings_;
  std::atomic<std::size_t> next_{0};  // relaxed: tensors are independent
};

}  // namespace millrace::tool
