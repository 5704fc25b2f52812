// What a kernel of the CPU runs in.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cstdint>

#if AT_PARALLEL_OPENMP
// OpenMP's. The library is torch's own, by a name of its own, and comes with torch: linked to by its usual name there
// would be two, and this would be the other one's number.
extern "C" void omp_set_num_threads(int);
#endif

namespace millrace_torch {

/// How much a kernel has to do.
enum class KernelSize { few_numbers, many_numbers };

/// A kernel on fewer is not divided between threads: handing parts over takes longer than the kernel does.
constexpr std::int64_t kManyNumbers = 32768;  // ATen's own grain for elementwise kernels

/// Of one that takes more time a number the more there are, as a product of matrices.
constexpr std::int64_t kManyNumbersOfLargeKernels = 2048;

inline KernelSize size_of(std::int64_t numbers, std::int64_t many = kManyNumbers) {
  return numbers < many ? KernelSize::few_numbers : KernelSize::many_numbers;
}

/// No gradients, no casts: what those do was done before the kernel was recorded.
class KernelScope {
 public:
  /// For a kernel on the caller's thread, which is divided as the caller has it.
  KernelScope() = default;
  /// For one on a worker.
  explicit KernelScope(KernelSize size) {
    // A thread takes over how many threads a kernel may use when it is asked first, which not all kernels do.
    static thread_local const int threads = at::get_num_threads();
    static thread_local int used = threads;
    const int wanted = size == KernelSize::few_numbers ? 1 : threads;
    if (wanted == used) return;
    used = wanted;
#if AT_PARALLEL_OPENMP
    omp_set_num_threads(used);
#endif
  }

 private:
  at::AutoDispatchBelowADInplaceOrView below_;
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
  c10::AutoGradMode no_grad_{false};
};

}  // namespace millrace_torch
