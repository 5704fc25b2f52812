// How far reading ahead of workers has come.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shared_files.h"

namespace millrace::tool {

/// What one job reads.
struct FileRange {
  std::size_t file = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

/// Jobs are taken in order, so what is needed next is known. A bounded window ahead of them is on its way
/// from the disk; without it each worker would wait for its own few requests.
///
/// Thread safety: any thread.
class ReadAhead {
 public:
  /// ranges: one a job, of a few MiB at most.
  ReadAhead(std::vector<FileRange> ranges, SharedMappings& mappings, int workers);

  /// Asks for what has come into the window by this job being taken. Throws FileFormatError when a file was
  /// changed since its list of tensors was read.
  void advance(std::size_t job);

 private:
  void ask(const FileRange& wanted, const FileRange& taken);

  const std::vector<FileRange> ranges_;
  SharedMappings& mappings_;
  const std::size_t window_;           // in jobs
  std::atomic<std::size_t> asked_{0};  // relaxed: ranges are independent, and it is advice
};

}  // namespace millrace::tool
