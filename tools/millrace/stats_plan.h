// How the tensors of many files are cut into work: pieces that fit device memory, batches that are
// worth a command buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "formats/tensor_file.h"

namespace millrace::tool {

/// Where pieces begin in a batch's device buffer: enough for any element and any vector load.
inline constexpr std::uint64_t kPieceAlignment = 512;

/// A run of elements of one tensor.
struct Piece {
  std::size_t tensor = 0;    ///< counted through all files
  std::uint64_t offset = 0;  ///< of the file
  std::uint64_t bytes = 0;
  std::uint64_t place = 0;  ///< in the batch's buffer
};

/// Pieces of one file that are copied and reduced together.
struct Batch {
  std::size_t file = 0;
  std::size_t first_piece = 0;
  std::size_t pieces = 0;
  std::uint64_t bytes = 0;  ///< of elements, without what alignment adds
};

struct StatsPlan {
  std::vector<Piece> pieces;
  std::vector<Batch> batches;
  std::uint64_t bytes = 0;         ///< of all tensors
  std::uint64_t buffer_bytes = 0;  ///< the largest batch, alignment included
};

struct BatchLimits {
  std::uint64_t bytes = 0;  ///< of the buffer; at least kPieceAlignment
  std::size_t pieces = 0;
};

/// Every element of every tensor is in exactly one piece, in file order. Tensors without elements and
/// deflated ones have none: the latter are not cut, see stats_deflated.h.
StatsPlan plan_stats(const std::vector<TensorFile>& files, BatchLimits limits);

/// How many workers there can be and how large their buffers, so that all of them fit the memory
/// limit with a granule each to spare (the device commits whole granules).
struct WorkerBudget {
  int threads = 1;
  std::uint64_t buffer_bytes = 0;
};
WorkerBudget budget_workers(std::uint64_t memory_limit, int threads, std::uint64_t results_bytes);

}  // namespace millrace::tool
