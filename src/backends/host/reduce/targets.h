// For which instruction sets the loops are compiled; included before Highway.
#pragma once

// What x86-64 machines have, in three steps: anything, AVX2 and AVX-512. Each further one costs build time,
// and those in between convert f16 by arithmetic that takes infinities and NaNs for numbers.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#endif

/// Does the set that is being compiled for have vectors? Emulated ones are slower than plain loops, and have
/// the same fault. After Highway was included.
#define MILLRACE_HAS_VECTORS (HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128)
