#include "sync/asymmetric_fence.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace millrace::sync {
namespace {

constexpr int kTries = 1000;

bool membarrier(int command, [[maybe_unused]] Where where = {}) noexcept {
#if defined(MILLRACE_CHECKED)
  // The other side's half is in compiler_fence.
  if (command == MEMBARRIER_CMD_PRIVATE_EXPEDITED) base::fence_others(where);
  return true;
#else
  return syscall(SYS_membarrier, command, 0, 0) == 0;
#endif
}

}  // namespace

void prepare_asymmetric_fences() noexcept {
  static const bool asymmetric = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
  // relaxed: whoever announces was given what it announces by a device that was made after this.
  if (asymmetric) detail::fences_are_asymmetric.store(true, std::memory_order_relaxed);
}

void heavy_fence([[maybe_unused]] Where where) noexcept {
  if (!detail::fences_are_asymmetric.load(std::memory_order_relaxed, where))
    return;  // relaxed: as in announce
  for (int tries = 0; tries < kTries; ++tries) {
    if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, where)) return;
    if (errno != ENOMEM) break;  // of the kernel's own memory, for a moment
    sched_yield();
  }
  // Owners have stopped paying for the order: going on would let two parties hold one context.
  std::fprintf(
      stderr,
      "millrace: the system call membarrier worked when the first device was opened and fails now (%s); "
      "if the process has entered a sandbox since, let it permit the call or open devices inside it\n",
      std::strerror(errno));
  std::abort();
}

}  // namespace millrace::sync
