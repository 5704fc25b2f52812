// How fast memory can be read here: the floor that a reduction's time is held against.
#pragma once

#include <cstddef>
#include <span>

namespace millrace::tool {

/// Seconds that this many threads take to read all of bytes once, each its own part of it, with vector
/// loads and next to nothing to compute. Tries two orders, since which is faster depends on the machine and
/// on its pages: from first to last, and in four places in turn; the better one counts.
double time_reading(std::span<const std::byte> bytes, int threads);

}  // namespace millrace::tool
