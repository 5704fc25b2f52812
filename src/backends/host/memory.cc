#include "backends/host/memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <iterator>
#include <new>
#include <system_error>
#include <utility>

#include "device/memory_range.h"
#include "device/reserved_pages.h"

namespace millrace::host {
namespace {

std::string errno_text(int error) {
  return std::generic_category().message(error);
}

}  // namespace

Memory::Memory(std::string device)
    : device_(std::move(device)),
      no_memory_(ErrorCode::OutOfMemory, "no host memory for the bookkeeping of the device's",
                 {.call = {}, .device = device_, .stream = -1, .rule = {}}) {}

Memory::~Memory() {
  if (leaked_) return;
  for (const auto& [base, reservation] : reservations_)
    release_pages(reinterpret_cast<void*>(base), reservation.bytes);
}

Status Memory::refuse(ErrorCode code, const char* call, const void* address, std::size_t bytes,
                      const std::string& why) const {
  return Status(code, std::string("asked to ") + call + " " + range_text(address, bytes) + ": " + why,
                {.call = {}, .device = device_, .stream = -1, .rule = {}});
}

Memory::Reservations::iterator Memory::find(std::uintptr_t address, std::size_t bytes) {
  auto reservation = reservations_.upper_bound(address);
  if (reservation == reservations_.begin()) return reservations_.end();
  --reservation;
  const std::size_t offset = address - reservation->first;
  const std::size_t size = reservation->second.bytes;
  return offset < size && bytes <= size - offset ? reservation : reservations_.end();
}

Status Memory::reserve(std::size_t bytes, void** base) noexcept try {
  *base = nullptr;
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
    reservations_.emplace(reinterpret_cast<std::uintptr_t>(pages),
                          Reservation{bytes, std::vector<bool>(bytes / kGranule)});
  } catch (const std::bad_alloc&) {
    release_pages(pages, bytes);
    return no_memory_;
  }
  *base = pages;
  return {};
} catch (const std::bad_alloc&) {  // while the failure was being described
  return no_memory_;
}

void Memory::release(void* base, std::size_t bytes) noexcept {
  sync::LockGuard lock(mutex_);
  const auto reservation = reservations_.find(reinterpret_cast<std::uintptr_t>(base));
  if (leaked_ || reservation == reservations_.end() || reservation->second.bytes != bytes) return;
  for (const bool granule : reservation->second.committed) committed_ -= granule ? kGranule : 0;
  reservations_.erase(reservation);
  release_pages(base, bytes);
}

Status Memory::commit(void* address, std::size_t bytes) noexcept try {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  if (!is_whole_granules(start, bytes, kGranule)) {
    return refuse(ErrorCode::InvalidArgument, "commit", address, bytes,
                  "address and size must be multiples of " + std::to_string(kGranule));
  }
  sync::LockGuard lock(mutex_);
  const auto reservation = find(start, bytes);
  if (reservation == reservations_.end()) {
    return refuse(ErrorCode::InvalidArgument, "commit", address, bytes, "not within one reservation");
  }
  std::vector<bool>& committed = reservation->second.committed;
  const std::size_t first = (start - reservation->first) / kGranule;
  for (std::size_t i = first; i < first + bytes / kGranule; ++i) {
    if (!committed[i]) continue;
    return refuse(ErrorCode::InvalidState, "commit", address, bytes,
                  "granule " + std::to_string(i) + " of its reservation is committed already");
  }
  if (mprotect(address, bytes, PROT_READ | PROT_WRITE) != 0) {
    return refuse(ErrorCode::OutOfMemory, "commit", address, bytes,
                  errno_text(errno) + " (with " + std::to_string(committed_) +
                      " bytes committed); free memory, or raise the system's limits "
                      "(vm.overcommit_memory, vm.max_map_count)");
  }
  // Granules are as large as huge pages, which cost the translation of addresses a 512th. A wish: without
  // them everything works, only slower.
  (void)madvise(address, bytes, MADV_HUGEPAGE);
  for (std::size_t i = first; i < first + bytes / kGranule; ++i) committed[i] = true;
  committed_ += bytes;
  return {};
} catch (const std::bad_alloc&) {  // while the failure was being described
  return no_memory_;
}

void Memory::decommit(void* address, std::size_t bytes) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  if (!is_whole_granules(start, bytes, kGranule)) return;
  sync::LockGuard lock(mutex_);
  const auto reservation = find(start, bytes);
  if (leaked_ || reservation == reservations_.end()) return;
  empty_pages(address, bytes);
  const std::size_t first = (start - reservation->first) / kGranule;
  for (std::size_t i = first; i < first + bytes / kGranule; ++i) {
    committed_ -= reservation->second.committed[i] ? kGranule : 0;
    reservation->second.committed[i] = false;
  }
}

bool Memory::contains(const void* address) const noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  sync::LockGuard lock(mutex_);
  const auto after = reservations_.upper_bound(start);
  if (after == reservations_.begin()) return false;
  const auto reservation = std::prev(after);
  return start - reservation->first < reservation->second.bytes;
}

std::size_t Memory::committed_bytes() const noexcept {
  sync::LockGuard lock(mutex_);
  return committed_;
}

void Memory::leak() noexcept {
  sync::LockGuard lock(mutex_);
  leaked_ = true;
}

}  // namespace millrace::host
