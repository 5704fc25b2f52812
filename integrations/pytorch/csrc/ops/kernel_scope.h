// What a kernel of the CPU runs in.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace millrace_torch {

/// No gradients, no casts: what those do was done before the kernel was recorded.
class KernelScope {
 public:
  KernelScope() {
    // A thread takes over how many threads a kernel may use when it is asked first, which not all kernels do.
    static thread_local const int threads = at::get_num_threads();
    (void)threads;
  }

 private:
  at::AutoDispatchBelowADInplaceOrView below_;
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
  c10::AutoGradMode no_grad_{false};
};

}  // namespace millrace_torch
