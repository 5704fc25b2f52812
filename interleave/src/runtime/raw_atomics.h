// The checker's part of atomics that are not interleave's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "interleave/detail/runtime.h"

namespace interleave {

/// A cell for each address that instrumented code has accessed atomically. What such an atomic holds at the
/// start is in its memory, which stays as it is: its constructor wrote it there.
///
/// Thread safety: one thread.
class RawAtomics {
 public:
  const detail::Cell& cell(const void* address);
  /// Plain writes over an atomic make it anew: its constructor, or that of what came after it.
  void overwritten(const void* address, std::size_t bytes);

 private:
  std::map<std::uintptr_t, detail::Cell> cells_;
};

RawAtomics& raw_atomics();

}  // namespace interleave
