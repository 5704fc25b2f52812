// Bringing the pieces of mapped files to where a device can read them.
#pragma once

#include <cstddef>
#include <memory>

#include <millrace/stream.h>

#include "formats/mapped_file.h"
#include "shared_mappings.h"
#include "stats_plan.h"

namespace millrace::tool {

/// One worker's view of the mapped files: a batch's pages are present from begin to end, and gone after it.
///
/// Thread safety: one thread.
class MappedReader {
 public:
  explicit MappedReader(SharedMappings& mappings) : mappings_(mappings) {}

  /// Throws FileFormatError when the file was changed since its list of tensors was read.
  void begin(const Batch& batch);
  /// Where the stream's next operation reads the piece: in the file itself, or in the buffer after a copy.
  void* bring(const Piece& piece, Stream stream, std::byte* buffer) const;
  /// After the work on the batch is done.
  void end(const Batch& batch) const;

 private:
  SharedMappings& mappings_;
  std::shared_ptr<const MappedFile> mapping_;
  std::size_t file_ = 0;
};

}  // namespace millrace::tool
