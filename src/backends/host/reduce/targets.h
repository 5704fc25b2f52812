// For which instruction sets the loops are compiled; included before Highway.
#pragma once

// What x86-64 machines have, in three steps: anything, AVX2 and AVX-512. Each further one costs build time.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#endif
