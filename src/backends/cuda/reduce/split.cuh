// Outputs that several blocks share: each leaves what it found, and the last to end merges all of it.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/merge.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/variants.h"

namespace millrace::cuda {

/// Where the blocks of a split tile leave what they found: an accumulator for each tile, split and output of
/// the tile, and a count of the splits that have ended for each tile, which is 0 between reductions.
template <typename Accumulator>
struct Splits {
  Accumulator* found;
  unsigned* tickets;
};

/// Threads that have left something in memory for other blocks call it, before is_last_split.
__device__ inline void publish_split() {
  if constexpr (!kHasOrderedTickets) __threadfence();
}

/// The splits that had taken a ticket before. Of what the block's threads left, the barrier before orders all
/// before the release here; of what other blocks left before theirs, the acquire here orders all before the
/// barrier behind, and so before what any thread of this block reads.
__device__ inline unsigned take_ticket(unsigned* ticket) {
  if constexpr (kHasOrderedTickets) {
    unsigned before;
    asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(before) : "l"(ticket) : "memory");
    return before;
  } else {
    return atomicAdd(ticket, 1U);
  }
}

/// Is this block the last of its tile's? All threads of the block call it; those that left something have
/// published it.
__device__ inline bool is_last_split(unsigned* ticket, std::int64_t splits) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    last = take_ticket(ticket) + 1 == static_cast<unsigned>(splits);
    if (last) *ticket = 0;
  }
  __syncthreads();
  if (last && !kHasOrderedTickets) __threadfence();
  return last;
}

/// What another block wrote.
template <typename T>
__device__ T load_of_others(const T* from) {
  T value;
  if constexpr (sizeof(T) % 8 == 0) {
    uint2 words[sizeof(T) / 8];
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(T) / 8); ++i) {
      words[i] = __ldcg(reinterpret_cast<const uint2*>(from) + i);
    }
    memcpy(&value, words, sizeof value);
  } else if constexpr (sizeof(T) == 4) {
    const unsigned word = __ldcg(reinterpret_cast<const unsigned*>(from));
    memcpy(&value, &word, sizeof value);
  } else {
    value = *const_cast<const volatile T*>(from);
  }
  return value;
}

/// Merges what the splits of a tile have left, in their order, and gives finish(output of the tile, result).
/// All threads of the tile's last block call it.
template <class Fold, int kSize, typename Finish>
__device__ void finish_splits(SharedValues<typename Fold::Accumulator, kSize>& memory,
                              const typename Fold::Accumulator* found, std::int64_t splits, int outputs,
                              Finish finish) {
  using Accumulator = typename Fold::Accumulator;
  const int thread = static_cast<int>(threadIdx.x);
  const int columns = outputs < kThreads ? outputs : kThreads;
  int ways = 1;
  while (2 * ways * columns <= kThreads && ways < splits) ways *= 2;
  const int column = thread % columns, way = thread / columns;
  for (int first = 0; first < outputs; first += columns) {
    const int output = first + column;
    Accumulator own = Fold::nothing();
    if (way < ways && output < outputs) {
#pragma unroll 4
      for (std::int64_t i = way; i < splits; i += ways) {
        Fold::merge(own, load_of_others(found + i * outputs + output));
      }
    }
    if (columns == 1) {
      merge_neighbours<Fold>(own, ways);
    } else {
      memory[thread] = own;
      merge_in_memory<Fold, 1>(memory, way, ways, columns);
      own = memory[thread];
      __syncthreads();  // the next round writes where others may still read
    }
    if (way == 0 && output < outputs) finish(output, own);
  }
}

}  // namespace millrace::cuda
