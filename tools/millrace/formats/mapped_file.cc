#include "formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>

#include <fmt/format.h>

#include "formats/file_format_error.h"

namespace millrace::tool {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string reason(int error) {
  return std::generic_category().message(error);
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device node";
  return "something else";
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to must end in the refusal below, not hang.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    throw FileFormatError(path, std::nullopt, "a readable file", reason(errno));
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) {
    throw FileFormatError(path, std::nullopt, "a readable file", reason(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    throw FileFormatError(path, std::nullopt, "a regular file", kind_of(info.st_mode));
  }
  if (info.st_size == 0) throw FileFormatError(path, 0, "tensors", "an empty file");
  identity_ = {static_cast<std::uint64_t>(info.st_dev), static_cast<std::uint64_t>(info.st_ino),
               static_cast<std::uint64_t>(info.st_size),
               static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
  if (identity_.size > static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max())) {
    throw FileFormatError(path, std::nullopt, "a file that fits the address space",
                          fmt::format("{} bytes", identity_.size));
  }
  size_ = static_cast<std::size_t>(identity_.size);
  void* const data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) {
    throw FileFormatError(path, std::nullopt, "a file that can be mapped", reason(errno));
  }
  data_ = static_cast<const std::byte*>(data);
  // Reads from disk go in steps of 4 MiB then, and where the file system can, the page cache gets huge pages:
  // this reader and all that come after it map those with one entry instead of 512
  // (docs/decisions/stats-reads-in-place.md).
  reads_ahead_ = ::madvise(data, size_, MADV_HUGEPAGE) == 0;
}

MappedFile::MappedFile(const std::string& path, const FileIdentity& expected) : MappedFile(path) {
  if (identity_ != expected) {
    throw FileFormatError(path, std::nullopt, "the file as it was when its header was read",
                          "a file that was changed since");
  }
}

MappedFile::~MappedFile() {
  // munmap takes no pointer to const.
  ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace millrace::tool
