// A regular file's bytes as read-only memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "formats/opened_file.h"

namespace millrace::tool {

/// A whole file, mapped until the end of the scope. The pages come from disk as they are touched; a
/// file that shrinks under the mapping raises SIGBUS on touch, as any mapping does.
///
/// Thread safety: bytes() from any thread; construct and destroy on one.
class MappedFile {
 public:
  /// Throws FileFormatError unless path is a readable regular file that is not empty.
  explicit MappedFile(const std::string& path);
  /// The same, and the file must still be the one that was looked at before.
  MappedFile(const std::string& path, const FileIdentity& expected);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const FileIdentity& identity() const noexcept { return identity_; }
  /// Whether the system reads ahead of touches in large steps by itself: nobody needs to ask for it.
  bool reads_ahead() const noexcept { return reads_ahead_; }

 private:
  MappedFile(const std::string& path, const OpenedFile& file);

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool reads_ahead_ = false;
  FileIdentity identity_;
};

}  // namespace millrace::tool
