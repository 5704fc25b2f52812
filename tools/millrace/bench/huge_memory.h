// Memory as fast as the machine has it, to hold other reading against.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <span>

namespace millrace::tool {

/// Written once, and in huge pages where the system gives them: they are read a tenth faster.
///
/// Thread safety: bytes from any thread.
class HugeMemory {
 public:
  /// Throws std::bad_alloc.
  explicit HugeMemory(std::size_t bytes)
      : size_(bytes),
        data_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (data_ == MAP_FAILED) throw std::bad_alloc();
    (void)::madvise(data_, size_, MADV_HUGEPAGE);
    std::memset(data_, 1, size_);
  }
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;
  ~HugeMemory() { ::munmap(data_, size_); }

  std::span<const std::byte> bytes() const noexcept { return {static_cast<const std::byte*>(data_), size_}; }

 private:
  const std::size_t size_;
  void* const data_;
};

}  // namespace millrace::tool
