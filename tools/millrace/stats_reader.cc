#include "stats_reader.h"

#include "mapped_pages.h"

namespace millrace::tool {

BatchPages::BatchPages(SharedMappings& mappings, const Batch& batch)
    : batch_(batch), mapping_(mappings.get(batch.file)) {
  populate(mapping_->bytes(), batch.offset, batch.bytes);
}

BatchPages::~BatchPages() {
  drop(mapping_->bytes(), batch_.offset, batch_.bytes);
}

void* BatchPages::bring(const Piece& piece, Stream stream, std::byte* buffer) const {
  const std::byte* const data = mapping_->bytes().data() + piece.offset;
  // A view has no pointer to const, also where it is only read.
  if (piece.in_place) return const_cast<std::byte*>(data);
  stream.copy(buffer + piece.place, data, piece.bytes);
  return buffer + piece.place;
}

}  // namespace millrace::tool
