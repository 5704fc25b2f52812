// Which memory is meant.
#pragma once

#include <cstdint>

namespace millrace {
/// What an allocation is of.
enum class MemoryKind : std::uint8_t {
  device,  ///< the device's own; the host may have to copy to reach it
  pinned,  ///< the host's, locked in place: host code and the device's work both reach it, at the same
           ///< address
};

}  // namespace millrace
