// Ways of reducing that are chosen when the program is built, so that builds with and without one can be
// measured beside each other. Results are right and repeatable with any of them; their bits may differ where
// a variant cuts the work in another way.
#pragma once

// Has to be the same in all of a program; the CMake variable of that name sees to it.
#ifndef MILLRACE_REDUCE_VARIANTS
#define MILLRACE_REDUCE_VARIANTS 0xe00
#endif

namespace millrace::cuda {

inline constexpr unsigned kVariants = MILLRACE_REDUCE_VARIANTS;

/// Blocks of a split read 32 KiB at least instead of 16 (cut_splits.h).
inline constexpr bool kHasLargeSplits = (kVariants & 0x200) != 0;
/// lanes of f16 and bf16: six loads of a thread on their way instead of four (walk.cuh).
inline constexpr bool kHasDeepHalfLanes = (kVariants & 0x400) != 0;
/// Tickets of splits are taken with acquire and release order instead of between two fences (split.cuh).
inline constexpr bool kHasOrderedTickets = (kVariants & 0x800) != 0;
/// Full sums of more than 64 KiB: blocks of 8 KiB at least instead of 16, where that is not too many
/// (cut.cc).
inline constexpr bool kHasFineWholes = (kVariants & 0x2000) != 0;
/// Full sums of more than 64 KiB: a thread has two vectors at least instead of four (cut.cc).
inline constexpr bool kHasWideWholes = (kVariants & 0x4000) != 0;
/// The regime whole: the kernel's parameter is what it needs instead of a whole plan (whole.cuh).
inline constexpr bool kHasSlimWholes = (kVariants & 0x8000) != 0;
/// Full sums of up to 16 KiB, those of packs too: a thread for each vector instead of one for four (cut.cc).
inline constexpr bool kHasThinWholes = (kVariants & 0x10000) != 0;
/// Short rows at odd addresses: all of their vectors are loaded at once, ends too (rows.cuh).
inline constexpr bool kHasRowsAtOnce = (kVariants & 0x20000) != 0;
/// lanes: fewer threads of a block along neighbouring outputs where that gives each multiprocessor as many
/// blocks as the others have (cut_splits.h).
inline constexpr bool kHasEvenLanes = (kVariants & 0x40000) != 0;

/// lanes whose neighbouring outputs are fewer vectors than a warp's threads: a warp merges what its threads
/// have before the block does (deliver.cuh).
inline constexpr bool kHasWarpMerges = (kVariants & 0x80000) != 0;
/// Steps of a block that follow each other in memory come through shared memory, copied ahead (stream.cuh).
inline constexpr bool kHasStreams = (kVariants & 0x2000000) != 0;

}  // namespace millrace::cuda
