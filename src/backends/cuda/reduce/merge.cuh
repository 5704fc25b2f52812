// Merging the accumulators of threads that share an output.
#pragma once

#include <cstdint>
#include <cstring>

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

inline constexpr int kWarp = 32;

/// Shared memory for n values whose constructors need not run.
template <typename T, int n>
struct SharedValues {
  alignas(16) unsigned char bytes[n * sizeof(T)];
  __device__ T& operator[](int i) { return reinterpret_cast<T*>(bytes)[i]; }
};

/// What the thread `by` lanes further has.
template <typename T>
__device__ T from_lane_above(const T& own, int by) {
  constexpr int kWords = (sizeof(T) + 3) / 4;
  std::uint32_t words[kWords] = {};
  memcpy(words, &own, sizeof own);
#pragma unroll
  for (int i = 0; i < kWords; ++i) words[i] = __shfl_down_sync(0xffffffffU, words[i], by);
  T other;
  memcpy(&other, words, sizeof other);
  return other;
}

/// Of neighbours in a warp: `ways` is a power of two, at most a warp. The result is that of the first of
/// each; all threads of the warp call it.
template <class Fold>
__device__ void merge_in_warp(typename Fold::Accumulator& own, int ways) {
  for (int by = ways / 2; by > 0; by /= 2) Fold::merge(own, from_lane_above(own, by));
}

/// Of neighbours in a block: `ways` is a power of two. The result is that of the first of each; all threads
/// of the block call it.
template <class Fold>
__device__ void merge_neighbours(typename Fold::Accumulator& own, int ways) {
  merge_in_warp<Fold>(own, ways < kWarp ? ways : kWarp);
  if (ways <= kWarp) return;
  __shared__ SharedValues<typename Fold::Accumulator, kThreads / kWarp> of_warps;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % kWarp == 0) of_warps[thread / kWarp] = own;
  __syncthreads();
  const int warps = ways / kWarp;
  if (thread % ways == 0) {
    for (int i = 1; i < warps; ++i) Fold::merge(own, of_warps[thread / kWarp + i]);
  }
  __syncthreads();  // the next round writes where others may still read
}

/// Of any number of ways that are `step` threads apart, with the accumulators in shared memory, kLanes a
/// thread. All threads of the block call it and see the results.
template <class Fold, int kLanes, int kSize>
__device__ void merge_in_memory(SharedValues<typename Fold::Accumulator, kSize>& memory, int way, int ways,
                                int step) {
  static_assert(kSize >= kThreads * kLanes);
  const int thread = static_cast<int>(threadIdx.x);
  int half = 1;
  while (2 * half < ways) half *= 2;
  for (; ways > 1 && half > 0; half /= 2) {
    __syncthreads();
    // Threads that are left over when a block is cut into ways have nothing to add, nor anybody behind them.
    if (way < half && way + half < ways && thread + half * step < kThreads) {
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) {
        const int mine = lane * kThreads + thread;
        Fold::merge(memory[mine], memory[mine + half * step]);
      }
    }
  }
  __syncthreads();
}

}  // namespace millrace::cuda
