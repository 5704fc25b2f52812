// Random reductions for `bench reduce --random`.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/reduce_cases.h"

namespace millrace::tool {

/// What a random case has of elements at least, in bytes.
inline constexpr std::uint64_t kLeastRandomBytes = std::uint64_t{256} << 20;

/// So many of one type, the same ones for the same seed: one to six dims, of which some are reduced, over
/// contiguous, transposed and strided inputs that fit `bytes`, which are twice kLeastRandomBytes at least.
/// Each is named by its number, from `first` on, and its shape.
std::vector<ReduceCase> random_cases(DType dtype, std::uint64_t bytes, int first, int count,
                                     std::uint64_t seed);

}  // namespace millrace::tool
