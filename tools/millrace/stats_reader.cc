#include "stats_reader.h"

#include "mapped_pages.h"

namespace millrace::tool {

void MappedReader::begin(const Batch& batch) {
  if (mapping_ == nullptr || file_ != batch.file) {
    mapping_ = mappings_.get(batch.file);
    file_ = batch.file;
  }
  populate(mapping_->bytes(), batch.offset, batch.bytes);
}

void* MappedReader::bring(const Piece& piece, Stream stream, std::byte* buffer) const {
  const std::byte* const data = mapping_->bytes().data() + piece.offset;
  // A view has no pointer to const, also where it is only read.
  if (piece.in_place) return const_cast<std::byte*>(data);
  stream.copy(buffer + piece.place, data, piece.bytes);
  return buffer + piece.place;
}

void MappedReader::end(const Batch& batch) const {
  drop(mapping_->bytes(), batch.offset, batch.bytes);
}

}  // namespace millrace::tool
