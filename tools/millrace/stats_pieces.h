// How one tensor is cut into pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <millrace/reduction.h>
#include <millrace/stream.h>

#include "formats/tensor_file.h"
#include "stats_split.h"

namespace millrace::tool {

/// The most bytes of a piece. Small enough that what was just copied is still in the cache when it is
/// reduced, and that a device does not spread it over its workers, all of which have pieces of their own;
/// large enough that its beginning, where nothing is on its way from memory yet, is little of it. A constant,
/// and not what the memory limit or the number of workers would allow: sums depend in their last bits on
/// where tensors are cut.
inline constexpr std::uint64_t kPieceBytes = std::uint64_t{1} << 20;

/// The most channels of a piece: bounds what their results take.
inline constexpr std::uint64_t kPieceChannels = 8192;

/// A run of elements of one tensor: of whole rows, of whole channels of a row, or within one channel.
struct Piece {
  std::size_t tensor = 0;    ///< counted through all files
  std::uint64_t offset = 0;  ///< of the file, or from the tensor's first element where it is deflated
  std::uint64_t bytes = 0;
  std::uint64_t outer = 1;  ///< outer x channels x inner elements, the last one dense
  std::uint64_t channels = 1;
  std::uint64_t inner = 0;
  std::uint64_t first_channel = 0;
  bool in_place = false;    ///< the device reads the mapped file
  std::uint64_t place = 0;  ///< else: in the batch's buffer
  std::size_t result = 0;   ///< the first of its channels among the batch's results
};

/// A tensor's pieces one by one, since a file can claim more of them than memory holds. Where it is cut
/// depends on the tensor and its split alone. The first piece is the largest, and has the most channels.
///
/// Thread safety: one thread at a time.
class PieceCutter {
 public:
  PieceCutter(const TensorEntry& tensor, const Split& split);

  /// Nothing after the last one. Offsets are from the tensor's first element.
  std::optional<Piece> next();

 private:
  const Split split_;
  const std::uint64_t element_;
  const std::uint64_t elements_;
  std::uint64_t rows_ = 0;  // of a piece; 0 where a row is more than one piece
  std::uint64_t channels_ = 1;
  std::uint64_t inner_ = 0;
  std::uint64_t at_ = 0;  // elements that were cut off
};

/// Records the statistics of each channel of a piece, whose elements the device can read, into results.
void record_statistics(Stream stream, const Piece& piece, DType dtype, void* elements, Statistics* results);

}  // namespace millrace::tool
