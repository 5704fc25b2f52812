#include "sync/asymmetric_fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace millrace::sync {
namespace {

bool membarrier(int command) noexcept {
  return syscall(SYS_membarrier, command, 0, 0) == 0;
}

}  // namespace

void prepare_asymmetric_fences() noexcept {
  static const bool asymmetric = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
  // relaxed: whoever announces was given what it announces by a device that was made after this.
  if (asymmetric) detail::fences_are_asymmetric.store(true, std::memory_order_relaxed);
}

void heavy_fence() noexcept {
  if (!detail::fences_are_asymmetric.load(std::memory_order_relaxed)) return;  // relaxed: as in announce
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return;
  // Owners have stopped paying for the order: going on would let two parties hold one context.
  std::fputs(
      "millrace: the system call membarrier worked when the first device was opened and is refused now; "
      "open the device after the process has entered its sandbox, or let the sandbox permit the call\n",
      stderr);
  std::abort();
}

}  // namespace millrace::sync
