// Work that is still to be done: graphs, the newest first.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace interleave {

/// A stack of byte strings in one reserved range of addresses, of which only what is used takes memory.
///
/// Thread safety: one thread.
class Stack {
 public:
  /// Throws std::bad_alloc when the system gives no addresses.
  explicit Stack(std::size_t capacity) : capacity_(capacity) {
    void* range =
        mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) throw std::bad_alloc();
    bytes_ = static_cast<std::byte*>(range);
  }
  ~Stack() { munmap(bytes_, capacity_); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// Room for one more, which the caller fills; null when there is none. bytes is a multiple of 8.
  std::byte* push(std::size_t bytes) noexcept {
    if (end_ + bytes + 16 > capacity_) return nullptr;
    std::byte* entry = bytes_ + end_;
    end_ += bytes + 8;
    *reinterpret_cast<std::uint64_t*>(bytes_ + end_ - 8) = bytes;
    ++count_;
    if (end_ > peak_) peak_ = end_;
    return entry;
  }
  /// The newest, valid until the next push; null when there is none.
  const std::byte* pop() noexcept {
    if (count_ == 0) return nullptr;
    --count_;
    end_ -= *reinterpret_cast<std::uint64_t*>(bytes_ + end_ - 8) + 8;
    const std::byte* entry = bytes_ + end_;
    if (count_ == 0) end_ = begin_ = 0;
    return entry;
  }
  /// The oldest: the most work. Its size is found from its content.
  const std::byte* oldest() const noexcept { return bytes_ + begin_; }
  void drop_oldest(std::size_t bytes) noexcept {
    begin_ += bytes + 8;
    if (--count_ == 0) end_ = begin_ = 0;
  }

  std::size_t count() const noexcept { return count_; }
  std::size_t peak() const noexcept { return peak_; }
  void clear() noexcept { begin_ = end_ = count_ = 0; }

 private:
  std::byte* bytes_ = nullptr;
  std::size_t capacity_;
  std::size_t begin_ = 0, end_ = 0, count_ = 0, peak_ = 0;
};

}  // namespace interleave
