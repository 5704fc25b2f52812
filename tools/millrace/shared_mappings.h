// The files of a run, each mapped once however many threads read it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "formats/mapped_file.h"
#include "formats/tensor_file.h"

namespace millrace::tool {

/// A file is mapped while somebody holds it. One mapping for all threads, since the page tables of what was
/// read stay until it ends.
///
/// Thread safety: any thread. files must stay as they are meanwhile.
class SharedMappings {
 public:
  explicit SharedMappings(const std::vector<TensorFile>& files) : files_(files), mappings_(files.size()) {}

  /// Throws FileFormatError when the file is no longer the one whose list of tensors was read.
  std::shared_ptr<const MappedFile> get(std::size_t file) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const MappedFile> mapping = mappings_[file].lock();
    if (!mapping) {
      mapping = std::make_shared<const MappedFile>(files_[file].path, files_[file].identity);
      mappings_[file] = mapping;
    }
    return mapping;
  }

 private:
  const std::vector<TensorFile>& files_;
  std::mutex mutex_;  // protects what follows
  std::vector<std::weak_ptr<const MappedFile>> mappings_;
};

}  // namespace millrace::tool
