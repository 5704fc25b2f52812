// Whose memory an address is.
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "backends/cuda/memory.h"

namespace millrace::cuda {

enum class Owner : std::uint8_t {
  device,      ///< an NVIDIA device
  registered,  ///< the host, and the driver knows of it
  pageable,    ///< the host, and the driver does not know all of it
};
struct Where {
  Owner owner;
  CUdevice device;  ///< the owner, or the asking device where that is the host
};

/// bytes is not 0. With the device's context current.
///
/// Thread safety: any thread.
Where find_owner(const void* pointer, std::size_t bytes, const Memory& memory) noexcept;

/// Pages that were all the device's own or its pinned memory when they were asked about, so that those who
/// ask about many addresses don't take the mutexes of both for each. Worth what the callers' uses of these
/// addresses are: it is not told when memory goes.
///
/// Thread safety: one thread at a time.
class KnownPages {
 public:
  bool have(const void* address) const noexcept;
  /// Adds the address's, if it is as said.
  void look_at(const void* address, const Memory& memory) noexcept;
  void forget() noexcept { count_ = 0; }

 private:
  static constexpr std::uintptr_t kBytes = std::uintptr_t{2} << 20;  // memory is mostly committed in these

  static std::uintptr_t page_of(const void* address) noexcept {
    return reinterpret_cast<std::uintptr_t>(address) / kBytes;
  }

  std::array<std::uintptr_t, 8> pages_{};
  std::size_t count_ = 0, next_ = 0;
};

}  // namespace millrace::cuda
