// A checkpoint of any size to measure on: large tensors in bf16, f16 and f32, written as fast as the file
// system takes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace millrace::tool {

/// Smaller ones have no room for tensors of every type.
inline constexpr std::uint64_t kSmallestCheckpoint = std::uint64_t{1} << 20;

/// The tensors of a checkpoint with this many bytes of elements, the same each time: 1 to 256 MiB each, or
/// less where the whole is small, the three types in turn. bytes: at least kSmallestCheckpoint; rounded down
/// to whole rows.
std::vector<TensorEntry> checkpoint_tensors(std::uint64_t bytes);

/// Such a file in a folder, in the page cache. It loses its name as soon as it is open, so that it is gone
/// with the process however that ends, unless it is to be kept.
///
/// Thread safety: one thread at a time.
class SyntheticCheckpoint {
 public:
  /// keep: what was written stays, and a later run with the same folder and size finds it there. Throws
  /// UsageError where the folder can't be written to or has not the space. An interruption leaves the file
  /// unfinished and unkept: whole() is false.
  SyntheticCheckpoint(const std::string& folder, std::uint64_t bytes, bool keep);
  SyntheticCheckpoint(const SyntheticCheckpoint&) = delete;
  SyntheticCheckpoint& operator=(const SyntheticCheckpoint&) = delete;
  ~SyntheticCheckpoint() { close(); }

  bool whole() const noexcept { return whole_; }
  /// Where it can be opened while the object is, also by other processes of this user.
  const std::string& path() const noexcept { return path_; }
  /// Of elements.
  std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  bool reuse(const std::string& path);
  void create(const std::string& folder, bool keep);
  void keep_as(const std::string& path);
  bool write_tensors() const;
  bool settle() const;
  void close() noexcept;

  std::vector<TensorEntry> tensors_;
  std::vector<std::byte> header_;
  std::uint64_t bytes_ = 0;
  int file_ = -1;
  bool whole_ = false;
  std::string path_;
  std::string unfinished_;  // the name to remove, where there is one
};

}  // namespace millrace::tool
