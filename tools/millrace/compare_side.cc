#include "compare_side.h"

#include <algorithm>

#include "mapped_pages.h"

namespace millrace::tool {
namespace {

/// Elements of a tensor counted in the order that the file does not have them in: with the last dimension
/// fastest where the first one is dense, or the other way round.
void gather_transposed(const TensorEntry& tensor, const std::byte* data, std::uint64_t begin,
                       std::uint64_t count, std::byte* to) {
  std::vector<std::int64_t> shape = tensor.shape;
  if (!tensor.fortran_order) std::ranges::reverse(shape);  // now the slowest first, and dense in the file
  std::vector<std::uint64_t> strides(shape.size());
  std::uint64_t stride = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    strides[d] = stride;
    stride *= static_cast<std::uint64_t>(shape[d]);
  }
  std::vector<std::uint64_t> index(shape.size());
  std::uint64_t rest = begin;
  std::uint64_t at = 0;
  for (std::size_t d = shape.size(); d-- > 0;) {
    index[d] = rest % static_cast<std::uint64_t>(shape[d]);
    rest /= static_cast<std::uint64_t>(shape[d]);
    at += index[d] * strides[d];
  }
  const std::size_t element = size_of(tensor.dtype);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::copy_n(data + at * element, element, to + i * element);
    for (std::size_t d = shape.size(); d-- > 0;) {
      at += strides[d];
      if (++index[d] < static_cast<std::uint64_t>(shape[d])) break;
      at -= index[d] * strides[d];
      index[d] = 0;
    }
  }
}

FileRange range_of(const TensorPlace& place, const ComparePiece& piece) {
  const std::uint64_t element = size_of(place.entry->dtype);
  return {place.file, place.entry->offset + piece.begin * element, piece.count * element};
}

std::vector<FileRange> ranges_of(const std::vector<ComparePiece>& pieces,
                                 const std::vector<TensorPair>& pairs, TensorPlace TensorPair::*place) {
  std::vector<FileRange> ranges;
  ranges.reserve(pieces.size());
  for (const ComparePiece& piece : pieces) ranges.push_back(range_of(pairs[piece.pair].*place, piece));
  return ranges;
}

}  // namespace

CompareSide::CompareSide(const std::vector<TensorFile>& files, const std::vector<ComparePiece>& pieces,
                         const std::vector<TensorPair>& pairs, TensorPlace TensorPair::*place, int threads)
    : files_(files), mappings_(files), read_ahead_(ranges_of(pieces, pairs, place), mappings_, threads) {}

void SideReader::map(std::size_t file) {
  if (mapping_ != nullptr && file_ == file) return;
  mapping_ = side_.mappings().get(file);
  file_ = file;
}

void SideReader::open_deflated(const TensorPlace& place) {
  map(place.file);
  packed_.emplace(*mapping_, *place.entry);
  inflate_.emplace(mapping_->bytes(), *place.entry, side_.files()[place.file].path);
}

const std::byte* SideReader::begin(const TensorPlace& place, const ComparePiece& piece, bool transposed) {
  map(place.file);
  const FileRange range = range_of(place, piece);
  if (!place.entry->deflated && !transposed) {
    populate(mapping_->bytes(), range.offset, range.bytes);
    return mapping_->bytes().data() + range.offset;
  }
  buffer_.resize(static_cast<std::size_t>(range.bytes));
  if (place.entry->deflated) {
    inflate_->read(buffer_);
  } else {
    gather_transposed(*place.entry, mapping_->bytes().data() + place.entry->offset, piece.begin, piece.count,
                      buffer_.data());
  }
  return buffer_.data();
}

void SideReader::end(const TensorPlace& place, const ComparePiece& piece, bool transposed) {
  const FileRange range = range_of(place, piece);
  if (place.entry->deflated) {
    packed_->advance(piece.begin * size_of(place.entry->dtype) + range.bytes);
  } else if (transposed) {
    drop(mapping_->bytes(), place.entry->offset, place.entry->bytes);  // they were all over it
  } else {
    drop(mapping_->bytes(), range.offset, range.bytes);
  }
}

}  // namespace millrace::tool
