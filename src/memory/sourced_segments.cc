#include "memory/sourced_segments.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <string>

#include "memory/geometry.h"

namespace millrace {

bool SourcedSegments::is_aligned(const void* address) const noexcept {
  return reinterpret_cast<std::uintptr_t>(address) % granule_ == 0;
}

Status SourcedSegments::reserve(std::size_t bytes, void** base) noexcept {
  try {
    std::string why = "it returned null";
    try {
      // relaxed: it only saves a call.
      if (misaligns_.load(std::memory_order_relaxed)) return reserve_shifted(bytes, base);
      *base = source_->allocate(bytes);
      if (*base != nullptr && is_aligned(*base)) return {};
      if (*base != nullptr) {
        source_->free(*base, bytes);
        misaligns_.store(true, std::memory_order_relaxed);
        return reserve_shifted(bytes, base);
      }
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      why = error.what();
    } catch (...) {
      why = "it threw what is no std::exception";
    }
    return Status(ErrorCode::OutOfMemory,
                  "the pool's source has no segment of " + std::to_string(bytes) + " bytes: " + why);
  } catch (const std::bad_alloc&) {
    return Status::no_memory();
  }
}

Status SourcedSegments::reserve_shifted(std::size_t bytes, void** base) {
  sync::LockGuard lock(mutex_);
  shifted_.reserve(shifted_.size() + 1);
  const std::size_t whole = bytes + granule_;
  void* const given = source_->allocate(whole);
  if (given == nullptr) {
    return Status(ErrorCode::OutOfMemory, "the pool's source has no segment of " + std::to_string(whole) +
                                              " bytes, in which " + std::to_string(bytes) +
                                              " can be aligned to " + std::to_string(granule_));
  }
  *base = reinterpret_cast<void*>(round_up(reinterpret_cast<std::uintptr_t>(given), granule_));
  shifted_.push_back({*base, given, whole});
  return {};
}

void SourcedSegments::release(void* base, std::size_t bytes) noexcept {
  {
    sync::LockGuard lock(mutex_);
    const auto found = std::ranges::find(shifted_, base, &Shifted::base);
    if (found != shifted_.end()) {
      base = found->given;
      bytes = found->bytes;
      shifted_.erase(found);
    }
  }
  source_->free(base, bytes);
}

}  // namespace millrace
