// Bringing the pieces of mapped files to where a device can read them.
#pragma once

#include <cstddef>
#include <memory>

#include <millrace/stream.h>

#include "formats/mapped_file.h"
#include "shared_files.h"
#include "stats_plan.h"

namespace millrace::tool {

/// A batch's pages of a mapped file: present while it lives, and gone after it.
///
/// Thread safety: one thread.
class BatchPages {
 public:
  /// Throws FileFormatError when the file was changed since its list of tensors was read.
  BatchPages(SharedMappings& mappings, const Batch& batch);
  BatchPages(const BatchPages&) = delete;
  BatchPages& operator=(const BatchPages&) = delete;
  ~BatchPages();

  /// Where the stream's next operation reads a piece of the batch: in the file itself, or in the buffer after
  /// a copy.
  void* bring(const Piece& piece, Stream stream, std::byte* buffer) const;

 private:
  const Batch& batch_;
  const std::shared_ptr<const MappedFile> mapping_;
};

}  // namespace millrace::tool
