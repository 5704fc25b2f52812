// The host's device memory: address space reserved first, committed and given back in granules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "device/status.h"
#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace::host {

/// Reservations are mappings without access; commit gives access, decommit takes the pages back. What
/// is done to a range that is not reserved or not committed is refused, as strictly as a driver would.
///
/// Invariants (docs/concurrency.md):
///   K3  committed_bytes is the sum over all reservations of their committed granules, at every moment
///       at which the mutex is free.
///
/// Thread safety: all members from any thread.
class Memory {
 public:
  static constexpr std::size_t kGranule = std::size_t{2} << 20;

  explicit Memory(std::string device);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  Status reserve(std::size_t bytes, void** base) noexcept;
  void release(void* base, std::size_t bytes) noexcept;
  /// InvalidState for granules that are committed already, InvalidArgument outside of a reservation.
  Status commit(void* address, std::size_t bytes) noexcept;
  /// Ignores granules that are not committed.
  void decommit(void* address, std::size_t bytes) noexcept;

  /// Is the address within a reservation?
  bool contains(const void* address) const noexcept;
  std::size_t committed_bytes() const noexcept;

  /// Operations that nobody can wait for may still use it: from here on nothing is given back.
  void leak() noexcept;

 private:
  struct Reservation {
    std::size_t bytes = 0;
    std::vector<bool> committed;  // by granule
  };
  using Reservations = std::map<std::uintptr_t, Reservation>;  // by base

  /// The reservation that holds the whole range; end if none does.
  Reservations::iterator find(std::uintptr_t address, std::size_t bytes) REQUIRES(mutex_);
  Status refuse(ErrorCode code, const char* call, const void* address, std::size_t bytes,
                const std::string& why) const;

  const std::string device_;
  const Status no_memory_;  // made before, since it is said when nothing can be made
  mutable sync::Mutex mutex_;
  Reservations reservations_ GUARDED_BY(mutex_);
  std::size_t committed_ GUARDED_BY(mutex_) = 0;
  bool leaked_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace::host
