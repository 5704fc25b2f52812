// Where the words of tickets.h are.
#pragma once

namespace millrace::cuda {

/// Two mebibytes of each device that is used.
inline constexpr int kTicketSets = 512;

/// kMostSplitTiles words on the device whose context is current; null if the driver doesn't tell.
unsigned* ticket_words(int set) noexcept;

}  // namespace millrace::cuda
