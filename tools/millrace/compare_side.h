// One checkpoint's part in a comparison: bringing the elements of its tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "compare_match.h"
#include "formats/inflate.h"
#include "formats/tensor_file.h"
#include "packed_pages.h"
#include "read_ahead.h"
#include "shared_files.h"

namespace millrace::tool {

/// A run of elements of a pair, counted in the order of one of the two files.
struct ComparePiece {
  std::size_t pair = 0;
  std::uint64_t begin = 0;
  std::uint64_t count = 0;
  bool last = false;  ///< of its pair
};

/// What the workers share of a checkpoint.
///
/// Thread safety: any thread.
class CompareSide {
 public:
  /// place: which of a pair's is on this side. The files must outlive this.
  CompareSide(const std::vector<TensorFile>& files, const std::vector<ComparePiece>& pieces,
              const std::vector<TensorPair>& pairs, TensorPlace TensorPair::*place, int threads);

  const std::vector<TensorFile>& files() const noexcept { return files_; }
  SharedMappings& mappings() noexcept { return mappings_; }
  /// A piece of the list was taken: what comes after it is wanted soon.
  void advance(std::size_t piece) { read_ahead_.advance(piece); }

 private:
  const std::vector<TensorFile>& files_;
  SharedMappings mappings_;
  ReadAhead read_ahead_;
};

/// One worker's hold on a side. Elements are there from begin to end.
///
/// Thread safety: one thread.
class SideReader {
 public:
  explicit SideReader(CompareSide& side) : side_(side) {}

  /// Before the first piece of a deflated tensor, whose pieces must then be asked for in order.
  void open_deflated(const TensorPlace& place);

  /// The elements of a piece; transposed: counted in the order that the file does not have them in.
  const std::byte* begin(const TensorPlace& place, const ComparePiece& piece, bool transposed);
  void end(const TensorPlace& place, const ComparePiece& piece, bool transposed);

 private:
  void map(std::size_t file);

  CompareSide& side_;
  std::shared_ptr<const MappedFile> mapping_;
  std::size_t file_ = 0;
  std::vector<std::byte> buffer_;  // what was unpacked or gathered
  std::optional<InflateReader> inflate_;
  std::optional<PackedPages> packed_;
};

}  // namespace millrace::tool
