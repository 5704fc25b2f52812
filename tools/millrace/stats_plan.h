// How the tensors of many files are cut into work: pieces small enough that all workers are busy to the
// end, batches that are worth a command buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "formats/tensor_file.h"
#include "stats_pieces.h"
#include "stats_split.h"

namespace millrace::tool {

/// Where pieces begin in a batch's device buffer: enough for any element and any vector load.
inline constexpr std::uint64_t kPieceAlignment = 512;

/// The most bytes of a batch that the device reads in place. A commit wakes a worker of the device, and
/// taking pages back interrupts all processors that run this process: both are little beside 64 MiB.
inline constexpr std::uint64_t kBatchBytes = std::uint64_t{64} << 20;
/// The most that a batch copies, where nothing else is said: of elements that are not aligned in their file.
inline constexpr std::uint64_t kCopiedBytes = std::uint64_t{1} << 20;

/// Pieces of one file, next to each other, that are reduced in one go.
struct Batch {
  std::size_t file = 0;
  std::size_t first_piece = 0;
  std::size_t pieces = 0;
  std::uint64_t offset = 0;  ///< of the file
  std::uint64_t bytes = 0;   ///< of elements
  std::size_t results = 0;
};

/// A tensor whose elements come out of its file in order only: one worker does all of it.
struct DeflatedTensor {
  std::size_t file = 0;
  std::size_t tensor = 0;  ///< counted through all files
  const TensorEntry* entry = nullptr;
};

struct StatsPlan {
  std::vector<Split> splits;  ///< one a tensor
  std::vector<Piece> pieces;
  std::vector<Batch> batches;
  std::vector<DeflatedTensor> deflated;  ///< the largest first: the last to begin decides when all is done
  std::uint64_t bytes = 0;               ///< of all elements; a claim where a tensor is deflated
  std::uint64_t buffer_bytes = 0;  ///< what the largest batch or deflated piece copies, alignment included
  std::size_t results = 0;         ///< of the largest batch or deflated piece
};

struct PlanOptions {
  bool in_place = false;                      ///< the device can read mapped files
  std::optional<std::int64_t> channel_dim;    ///< negative from the end
  std::vector<bool> skip;                     ///< tensors to leave out; empty for none
  int workers = 1;                            ///< for whom there should be batches enough
  std::uint64_t copied_bytes = kCopiedBytes;  ///< the most that a batch copies; at least kPieceBytes
};

/// Every element of every tensor that is not skipped is in exactly one piece, in file order. Tensors without
/// elements have none, and neither have deflated ones, which are listed by themselves. Where tensors are cut
/// depends on the tensor and channel_dim alone.
StatsPlan plan_stats(const std::vector<TensorFile>& files, const PlanOptions& options);

/// What a batch's results take, whose elements take StatsPlan::buffer_bytes where they are copied.
std::uint64_t results_bytes(const StatsPlan& plan);

/// How many workers with so much device memory fit the limit (the device commits whole granules); at least 1.
int fitting_workers(std::uint64_t memory_limit, int threads, std::uint64_t bytes_each);

}  // namespace millrace::tool
