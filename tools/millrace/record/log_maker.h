// A log of allocations as RMM would have written it, for a program that never ran.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "output_file.h"

namespace millrace::tool {

/// Takes what a made-up program does in its total order, and writes it.
///
/// Thread safety: one thread at a time.
class LogMaker {
 public:
  /// Writes the first line.
  explicit LogMaker(OutputFile& out);

  /// A block that is live; what it says is the maker's.
  struct Block {
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
  };

  /// thread and stream: from 0.
  Block allocate(std::size_t thread, std::size_t stream, std::uint64_t bytes);
  void release(std::size_t thread, std::size_t stream, Block block);

  std::uint64_t events() const noexcept { return events_; }
  std::uint64_t live() const noexcept { return live_; }  ///< bytes
  std::uint64_t peak_live() const noexcept { return peak_live_; }

 private:
  void write(std::size_t thread, std::size_t stream, const char* action, Block block);

  OutputFile& out_;
  // Addresses come back as they do from a real allocator: the last block of a size that was freed, else new
  // ones.
  std::map<std::uint64_t, std::vector<std::uint64_t>> free_;
  std::uint64_t next_address_ = std::uint64_t{0x7f} << 40U;
  std::uint64_t events_ = 0;
  std::uint64_t live_ = 0;
  std::uint64_t peak_live_ = 0;
};

}  // namespace millrace::tool
