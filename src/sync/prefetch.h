// Fetching cache lines before they are needed.
#pragma once

namespace millrace::sync {

/// Starts to fetch the line for writing: what another core has written last then comes once, not first to be
/// read and then again to be written. Any address will do, also one that is not mapped.
inline void prefetch_for_write(const void* address) noexcept {
#if defined(__x86_64__)
  // GCC's builtin leaves the intent to write out unless it is told that the machine has the instruction. It
  // does nothing where it is missing.
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 1);
#endif
}

}  // namespace millrace::sync
