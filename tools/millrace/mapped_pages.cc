#include "mapped_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; the headers may be older than the system
#endif

namespace millrace::tool {
namespace {

/// A fault maps at most this much around it: a huge page, or what is cached of a smaller aligned range
/// (fault_around_bytes, 64 KiB).
constexpr std::uintptr_t kFaultAround = 2 << 20;

/// Advice for a range of a mapping, rounded outwards to whole units; a unit is a multiple of a page.
void advise(std::span<const std::byte> mapping, std::uint64_t offset, std::uint64_t bytes,
            std::uintptr_t unit, int advice) noexcept {
  if (offset >= mapping.size() || bytes == 0) return;
  const auto first = reinterpret_cast<std::uintptr_t>(mapping.data());
  const std::uintptr_t begin = first + static_cast<std::uintptr_t>(offset);
  const std::uintptr_t end =
      begin + static_cast<std::uintptr_t>(std::min<std::uint64_t>(bytes, mapping.size() - offset));
  const std::uintptr_t from = std::max(first, begin / unit * unit);
  const std::uintptr_t to = std::min((end + unit - 1) / unit * unit, first + mapping.size());
  // An error has nothing to undo: EINVAL from kernels before 5.14, EFAULT from a file that has shrunk. The
  // read that follows faults page by page, and where there is no page raises SIGBUS, which says why.
  (void)::madvise(reinterpret_cast<void*>(from), to - from, advice);
}

std::uintptr_t page_size() noexcept {
  static const auto size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

void read_ahead(const MappedFile& file, std::uint64_t offset, std::uint64_t bytes) noexcept {
  // Where it is not needed it would do harm: it fills the page cache with single pages, and looks each one up
  // when they are there.
  if (!file.reads_ahead()) advise(file.bytes(), offset, bytes, page_size(), MADV_WILLNEED);
}

void populate(std::span<const std::byte> mapping, std::uint64_t offset, std::uint64_t bytes) noexcept {
  advise(mapping, offset, bytes, page_size(), MADV_POPULATE_READ);
}

void drop(std::span<const std::byte> mapping, std::uint64_t offset, std::uint64_t bytes) noexcept {
  // Pages of the file that stay mapped count as this process's memory, limits of containers included, and
  // would grow to the size of the file. They are only unmapped: dropping them from the page cache
  // (POSIX_FADV_DONTNEED) would take from other programs, and from the user's next run, what is cached.
  // Rounded to what a fault brings in besides its own page, else a few pages at each cut would stay, and a
  // huge page would be cut in two, which interrupts all processors once more.
  advise(mapping, offset, bytes, std::max(page_size(), kFaultAround), MADV_DONTNEED);
}

}  // namespace millrace::tool
