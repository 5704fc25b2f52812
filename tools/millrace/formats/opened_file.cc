#include "formats/opened_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "formats/file_format_error.h"

namespace millrace::tool {
namespace {

/// What is asked of a disk at once: enough to keep it busy, little beside what a page cache holds.
constexpr std::uint64_t kReadAhead = std::uint64_t{32} << 20;

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

FileIdentity identify(int descriptor, const std::string& path) {
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) {
    throw FileFormatError(path, std::nullopt, "a readable file", reason(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    throw FileFormatError(path, std::nullopt, "a regular file", kind_of(info.st_mode));
  }
  if (info.st_size == 0) throw FileFormatError(path, 0, "tensors", "an empty file");
  return {static_cast<std::uint64_t>(info.st_dev), static_cast<std::uint64_t>(info.st_ino),
          static_cast<std::uint64_t>(info.st_size),
          static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
}

struct Cached {
  std::size_t bytes = 0;
  bool known = true;  // false: the file system does not say what is cached
};

/// Copies as much as the page cache has.
Cached read_cached(int descriptor, std::uint64_t offset, std::span<std::byte> to) noexcept {
  const iovec place{to.data(), to.size()};
  const ssize_t now = ::preadv2(descriptor, &place, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  if (now < 0) return {.known = errno == EAGAIN};
  return {.bytes = static_cast<std::size_t>(now)};
}

}  // namespace

OpenedFile::OpenedFile(const std::string& path)
    // O_NONBLOCK: opening a pipe that nobody writes to must end in the refusal below, not hang.
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) throw FileFormatError(path, std::nullopt, "a readable file", reason(errno));
  try {
    identity_ = identify(descriptor_, path);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

OpenedFile::OpenedFile(const std::string& path, const FileIdentity& expected) : OpenedFile(path) {
  if (identity_ != expected) {
    throw FileFormatError(path, std::nullopt, "the file as it was when its header was read",
                          "a file that was changed since");
  }
}

OpenedFile::~OpenedFile() {
  ::close(descriptor_);
}

void OpenedFile::read(std::uint64_t offset, std::span<std::byte> to) const {
  const Cached cached = read_cached(descriptor_, offset, to);
  std::size_t done = cached.bytes;
  if (done < to.size() && cached.known) {
    // Only then: it looks up each page, also of what is there already. An error has nothing to undo.
    (void)::posix_fadvise(descriptor_, static_cast<off_t>(offset + done),
                          static_cast<off_t>(to.size() - done + kReadAhead), POSIX_FADV_WILLNEED);
  }
  while (done < to.size()) {
    const ssize_t now =
        ::pread(descriptor_, to.data() + done, to.size() - done, static_cast<off_t>(offset + done));
    if (now > 0) {
      done += static_cast<std::size_t>(now);
    } else if (now == 0) {
      throw FileFormatError(path_, offset + done, fmt::format("{} more bytes", to.size() - done),
                            "the end of the file, which has shrunk");
    } else if (errno != EINTR) {
      throw FileFormatError(path_, offset + done, fmt::format("{} readable bytes", to.size() - done),
                            reason(errno));
    }
  }
}

}  // namespace millrace::tool
