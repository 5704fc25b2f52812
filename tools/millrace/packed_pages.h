// The pages of a packed range of a mapped file while it is unpacked from front to back.
#pragma once

#include <cstdint>

#include "formats/mapped_file.h"
#include "formats/tensor_file.h"

namespace millrace::tool {

/// Keeps what is unpacked next on its way from the disk and what was unpacked out of the process's memory.
///
/// Thread safety: one thread at a time.
class PackedPages {
 public:
  PackedPages(const MappedFile& file, const TensorEntry& tensor) : file_(file), tensor_(tensor) {
    advance(0);
  }

  /// unpacked: bytes of elements that came out so far.
  void advance(std::uint64_t unpacked);

 private:
  const MappedFile& file_;
  const TensorEntry& tensor_;
  std::uint64_t asked_ = 0;  // bytes of the range
};

}  // namespace millrace::tool
