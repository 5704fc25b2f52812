#include "backends/cuda/pinned.h"

#include <sys/mman.h>

#include <cerrno>
#include <iterator>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "backends/cuda/driver.h"
#include "device/memory_range.h"
#include "device/reserved_pages.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace millrace::cuda {
namespace {

std::string errno_text(int error) {
  return std::generic_category().message(error);
}

/// False, with errno set, where the system has no memory for the pages.
bool make_pages(void* address, std::size_t bytes) noexcept {
  if (mprotect(address, bytes, PROT_READ | PROT_WRITE) != 0) return false;
  // Wishes: without them everything works, only slower, or fork is what it was.
  (void)madvise(address, bytes, MADV_HUGEPAGE);
  (void)madvise(address, bytes, MADV_DONTFORK);
  // The driver would make them too, but under a lock of its own, with other threads' calls waiting.
  return madvise(address, bytes, MADV_POPULATE_WRITE) == 0 || errno == EINVAL;
}

}  // namespace

Pinned::Pinned(const Properties& properties, std::string device)
    : device_(std::move(device)),
      no_memory_(ErrorCode::OutOfMemory, "no host memory for the bookkeeping of pinned memory",
                 {.call = {}, .device = device_, .stream = -1, .rule = {}}),
      reaches_host_(properties.host_addresses) {}

Pinned::~Pinned() {
  if (leaked_ || context_ == nullptr) return;
  const ContextScope scope(context_);
  for (const auto& [base, range] : ranges_) {
    if (range.registered) (void)driver().host_unregister(reinterpret_cast<void*>(base));
    release_pages(reinterpret_cast<void*>(base), range.bytes);
  }
}

Status Pinned::refuse(ErrorCode code, const char* call, const void* address, std::size_t bytes,
                      const std::string& why) const {
  return Status(code, std::string("asked to ") + call + " " + range_text(address, bytes) + ": " + why,
                {.call = {}, .device = device_, .stream = -1, .rule = {}});
}

Status Pinned::reserve(std::size_t bytes, void** base) noexcept try {
  *base = nullptr;
  if (!reaches_host_) {
    return refuse(ErrorCode::Unsupported, "reserve pinned memory,", nullptr, bytes,
                  "the device can't use the host's addresses; allocate memory of the host's and copy it");
  }
  if (!is_whole_granules(0, bytes, kGranule)) {
    return refuse(ErrorCode::InvalidArgument, "reserve", nullptr, bytes,
                  "the size must be a multiple of " + std::to_string(kGranule) + " and not zero");
  }
  void* const pages = reserve_pages(bytes, kGranule);
  if (pages == nullptr) {
    return refuse(ErrorCode::OutOfMemory, "reserve", nullptr, bytes,
                  errno_text(errno) + "; the process has too little address space left (ulimit -v)");
  }
  try {
    sync::LockGuard lock(mutex_);
    ranges_.emplace(reinterpret_cast<std::uintptr_t>(pages), Range{bytes});
  } catch (const std::bad_alloc&) {
    release_pages(pages, bytes);
    return no_memory_;
  }
  *base = pages;
  return {};
} catch (const std::bad_alloc&) {  // while the failure was being described
  return no_memory_;
}

Status Pinned::commit(void* address, std::size_t bytes) noexcept try {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  {
    sync::LockGuard lock(mutex_);
    const auto range = ranges_.find(start);
    if (range == ranges_.end() || range->second.bytes != bytes)
      return refuse(ErrorCode::InvalidArgument, "commit", address, bytes, "not the whole of a reservation");
    if (range->second.registered)
      return refuse(ErrorCode::InvalidState, "commit", address, bytes, "it is committed already");
  }
  if (!make_pages(address, bytes)) {
    const int error = errno;
    empty_pages(address, bytes);
    return refuse(ErrorCode::OutOfMemory, "pin", address, bytes,
                  errno_text(error) + "; free memory of the host's, or lower DeviceOptions::pinned_limit");
  }
  const ContextScope scope(context_);
  CUresult result = scope.result();
  // Portable: for the contexts of all devices.
  if (result == CUDA_SUCCESS)
    result =
        driver().host_register(address, bytes, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
  if (result != CUDA_SUCCESS) {
    empty_pages(address, bytes);
    return status_of(result, "asked to pin " + range_text(address, bytes), device_);
  }
  sync::LockGuard lock(mutex_);
  ranges_.find(start)->second.registered = true;
  committed_ += bytes;
  return {};
} catch (const std::bad_alloc&) {  // while the failure was being described
  return no_memory_;
}

std::span<std::byte> Pinned::decommittable(void* address, std::size_t bytes) const noexcept {
  sync::LockGuard lock(mutex_);
  const auto range = ranges_.find(reinterpret_cast<std::uintptr_t>(address));
  if (range == ranges_.end() || !range->second.registered || range->second.bytes != bytes) return {};
  return {static_cast<std::byte*>(address), bytes};
}

void Pinned::decommit(void* address, std::size_t bytes) noexcept {
  {
    sync::LockGuard lock(mutex_);
    const auto range = ranges_.find(reinterpret_cast<std::uintptr_t>(address));
    if (leaked_ || range == ranges_.end() || !range->second.registered) return;
    range->second.registered = false;
    committed_ -= bytes;
  }
  {
    const ContextScope scope(context_);
    (void)driver().host_unregister(address);
  }
  empty_pages(address, bytes);
}

void Pinned::release(void* base, std::size_t bytes) noexcept {
  decommit(base, bytes);
  {
    sync::LockGuard lock(mutex_);
    const auto range = ranges_.find(reinterpret_cast<std::uintptr_t>(base));
    if (leaked_ || range == ranges_.end() || range->second.bytes != bytes) return;
    ranges_.erase(range);
  }
  release_pages(base, bytes);
}

bool Pinned::contains(const void* address, std::size_t bytes) const noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  sync::LockGuard lock(mutex_);
  auto range = ranges_.upper_bound(start);
  if (range == ranges_.begin()) return false;
  --range;
  const std::size_t offset = start - range->first;
  return range->second.registered && offset < range->second.bytes && bytes <= range->second.bytes - offset;
}

std::size_t Pinned::committed_bytes() const noexcept {
  sync::LockGuard lock(mutex_);
  return committed_;
}

void Pinned::leak() noexcept {
  sync::LockGuard lock(mutex_);
  leaked_ = true;
}

}  // namespace millrace::cuda
