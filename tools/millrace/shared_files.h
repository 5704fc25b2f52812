// The files of a run, each opened once however many threads read it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "formats/mapped_file.h"
#include "formats/opened_file.h"
#include "formats/tensor_file.h"

namespace millrace::tool {

/// A file is open, or mapped, while somebody holds it. Once for all threads, since the page tables of what
/// was read of a mapping stay until it ends.
///
/// Thread safety: any thread. files must stay as they are meanwhile.
template <typename File>
class SharedFiles {
 public:
  explicit SharedFiles(const std::vector<TensorFile>& files) : files_(files), shared_(files.size()) {}

  /// Throws FileFormatError when the file is no longer the one whose list of tensors was read.
  std::shared_ptr<const File> get(std::size_t file) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const File> shared = shared_[file].lock();
    if (!shared) {
      shared = std::make_shared<const File>(files_[file].path, files_[file].identity);
      shared_[file] = shared;
    }
    return shared;
  }

 private:
  const std::vector<TensorFile>& files_;
  std::mutex mutex_;  // protects what follows
  std::vector<std::weak_ptr<const File>> shared_;
};

using SharedMappings = SharedFiles<MappedFile>;
using OpenedFiles = SharedFiles<OpenedFile>;

}  // namespace millrace::tool
