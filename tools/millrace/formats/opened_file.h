// A regular file that is open for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace millrace::tool {

/// Which version of a file was looked at; tells a file that was replaced or written to meanwhile.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

/// Open until the end of the scope.
///
/// Thread safety: read from any thread; construct and destroy on one.
class OpenedFile {
 public:
  /// Throws FileFormatError unless path is a readable regular file that is not empty.
  explicit OpenedFile(const std::string& path);
  /// The same, and the file must still be the one that was looked at before.
  OpenedFile(const std::string& path, const FileIdentity& expected);
  OpenedFile(const OpenedFile&) = delete;
  OpenedFile& operator=(const OpenedFile&) = delete;
  ~OpenedFile();

  const FileIdentity& identity() const noexcept { return identity_; }
  int descriptor() const noexcept { return descriptor_; }

  /// Copies bytes of the file from offset on; what comes after them is on its way from the disk then, if the
  /// page cache had not all of them. Throws FileFormatError where the file has shrunk or its disk fails.
  void read(std::uint64_t offset, std::span<std::byte> to) const;

 private:
  const std::string path_;
  int descriptor_;
  FileIdentity identity_;
};

}  // namespace millrace::tool
