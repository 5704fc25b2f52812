// Batches on their way through a device that does not read the host's memory: from the file to pinned memory,
// to the device, to statistics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <millrace/device.h>
#include <millrace/reduction.h>
#include <millrace/stream.h>

#include "shared_files.h"
#include "stats_plan.h"

namespace millrace::tool {

/// How many batches are on their way at once, and how large they are.
struct PipelineShape {
  int workers = 1;
  int places = 1;                             ///< batches of a worker
  std::uint64_t copied_bytes = kCopiedBytes;  ///< of a batch; StatsPlan::buffer_bytes is at most that

  bool operator==(const PipelineShape&) const = default;
};

/// As many workers as fit the limit of the device's memory with what the device takes besides for reductions
/// that it splits, at most as many as are wanted; fewer batches of each before fewer workers. A limit that is
/// too small for anything gets the smallest shape, and the device will say what it lacks.
PipelineShape fit_pipeline(std::uint64_t memory_limit, int workers);

/// One worker's batches. While one is read by this thread, those before it are copied and reduced by the
/// device.
///
/// Thread safety: one thread.
class StatsPipeline {
 public:
  /// What all workers share; it must outlive them.
  struct Work {
    const StatsPlan& plan;
    const std::vector<DType>& dtypes;  ///< one a tensor
    OpenedFiles& files;
  };
  /// Told of every batch, in the order in which they were added.
  using Done = std::function<void(std::size_t batch, std::vector<Statistics> found)>;

  StatsPipeline(const Device& device, Stream stream, int places, const Work& work, Done done);
  StatsPipeline(const StatsPipeline&) = delete;
  StatsPipeline& operator=(const StatsPipeline&) = delete;
  /// Batches that are on their way are given up; their memory is not reused before the device is done.
  ~StatsPipeline() = default;

  /// Reads a batch and sets it going; waits for the first of those on their way where there are too many.
  /// Throws FileFormatError where the file was changed since its list of tensors was read, or can't be read.
  void add(std::size_t batch);
  /// Waits for all that are on their way.
  void finish();

  // The memory of one place, for whoever uses it while no batch is on its way.
  Statistics* results() const noexcept { return places_.front().results; }
  std::byte* host() const noexcept { return places_.front().host; }
  std::byte* device() const noexcept { return places_.front().device; }

 private:
  struct Place {
    Statistics* results = nullptr;  // pinned
    std::byte* host = nullptr;      // pinned
    std::byte* device = nullptr;
    std::size_t batch = 0;
    CommandBuffer underway;  // empty: the place is free
  };

  void read(const Batch& batch, std::byte* to);
  void retire(Place& place);

  const Work work_;
  const Done done_;
  Stream stream_;
  Buffer pinned_;
  Buffer elements_;
  std::vector<Place> places_;
  std::size_t next_ = 0;  // the place that is used next, and was used longest ago
  std::size_t file_ = 0;  // the number of opened_
  std::shared_ptr<const OpenedFile> opened_;
};

}  // namespace millrace::tool
