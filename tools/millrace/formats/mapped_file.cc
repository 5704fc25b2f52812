#include "formats/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <limits>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "formats/file_format_error.h"

namespace millrace::tool {

MappedFile::MappedFile(const std::string& path) : MappedFile(path, OpenedFile(path)) {}

MappedFile::MappedFile(const std::string& path, const FileIdentity& expected)
    : MappedFile(path, OpenedFile(path, expected)) {}

MappedFile::MappedFile(const std::string& path, const OpenedFile& file) : identity_(file.identity()) {
  if (identity_.size > static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max())) {
    throw FileFormatError(path, std::nullopt, "a file that fits the address space",
                          fmt::format("{} bytes", identity_.size));
  }
  size_ = static_cast<std::size_t>(identity_.size);
  void* const data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (data == MAP_FAILED) {
    throw FileFormatError(path, std::nullopt, "a file that can be mapped",
                          std::generic_category().message(errno));
  }
  data_ = static_cast<const std::byte*>(data);
  // Reads from disk go in steps of 4 MiB then, and where the file system can, the page cache gets huge pages:
  // this reader and all that come after it map those with one entry instead of 512
  // (docs/decisions/stats-reads-in-place.md).
  reads_ahead_ = ::madvise(data, size_, MADV_HUGEPAGE) == 0;
}

MappedFile::~MappedFile() {
  // munmap takes no pointer to const.
  ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace millrace::tool
