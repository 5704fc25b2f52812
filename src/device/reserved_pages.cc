#include "device/reserved_pages.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <limits>

namespace millrace {
namespace {

constexpr int kMapFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

}  // namespace

void* reserve_pages(std::size_t bytes, std::size_t alignment) noexcept {
  if (bytes > std::numeric_limits<std::size_t>::max() - alignment) {
    errno = ENOMEM;
    return nullptr;
  }
  // An alignment more, so that an aligned range lies within; what sticks out on both sides goes back.
  const std::size_t mapped = bytes + alignment;
  void* const map = mmap(nullptr, mapped, PROT_NONE, kMapFlags, -1, 0);
  if (map == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<std::uintptr_t>(map);
  const std::uintptr_t aligned = (start + alignment - 1) / alignment * alignment;
  if (aligned > start) munmap(map, aligned - start);
  const std::size_t behind = start + mapped - (aligned + bytes);
  if (behind > 0) munmap(reinterpret_cast<void*>(aligned + bytes), behind);
  return reinterpret_cast<void*>(aligned);
}

void empty_pages(void* address, std::size_t bytes) noexcept {
  // A fresh mapping also takes the bytes off what the system has promised, which mprotect would not.
  // Where there is no mapping left for that, the pages at least go back.
  if (mmap(address, bytes, PROT_NONE, kMapFlags | MAP_FIXED, -1, 0) == MAP_FAILED) {
    (void)madvise(address, bytes, MADV_DONTNEED);
    (void)mprotect(address, bytes, PROT_NONE);
  }
}

void release_pages(void* address, std::size_t bytes) noexcept {
  munmap(address, bytes);
}

}  // namespace millrace
