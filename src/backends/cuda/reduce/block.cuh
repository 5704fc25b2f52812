// The two kernels that every operation shares, and their launches.
//
// An operation is a fold:
//   Stored         an element
//   Running        what one thread knows; default-constructed of no element
//   Accumulator    what is merged: trivial, aligned to 8 bytes at most
//   add(running, stored, position)
//   settle(running)  after at most 64 elements: moves what must not grow long
//   total(running)   the accumulator; after settle
//   nothing()        the accumulator of no element
//   merge(a, b)      puts b into a; the same result for any order of elements but for rounding
//   finish(plan, accumulator, at)  writes the result at that place of the output
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backends/cuda/reduce/kernels.h"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/walk.cuh"

namespace millrace::cuda {

/// Loads that a thread has on their way at once.
inline constexpr int kAtOnce = 4;
inline constexpr std::int64_t kVectorBytes = 16;

/// What a vector load brings.
template <typename Stored>
struct Vector {
  static constexpr int kElements = kVectorBytes / sizeof(Stored);
  Stored elements[kElements];
};

/// One load: elements copied as themselves would be loaded one by one.
template <typename Stored>
__device__ Vector<Stored> load_vector(const uint4* from) {
  const uint4 raw = *from;
  Vector<Stored> vector;
  memcpy(&vector, &raw, sizeof vector);
  return vector;
}

template <class Fold>
__device__ void add_vector(typename Fold::Running& running, const Vector<typename Fold::Stored>& vector,
                           std::int64_t position) {
#pragma unroll
  for (int i = 0; i < Vector<typename Fold::Stored>::kElements; ++i) {
    Fold::add(running, vector.elements[i], position + i);
  }
}

/// A thread's part of n dense elements, the first of which has that position.
template <class Fold>
__device__ void add_dense(typename Fold::Running& running, const typename Fold::Stored* from, std::int64_t n,
                          std::int64_t position, int way, int ways) {
  using Stored = typename Fold::Stored;
  using V = Vector<Stored>;
  const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(from) % kVectorBytes);
  std::int64_t head = past == 0 ? 0 : (kVectorBytes - past) / static_cast<std::int64_t>(sizeof(Stored));
  head = head < n ? head : n;
  for (std::int64_t i = way; i < head; i += ways) Fold::add(running, from[i], position + i);
  Fold::settle(running);

  const std::int64_t vectors = (n - head) / V::kElements;
  const auto* dense = reinterpret_cast<const uint4*>(from + head);
  const std::int64_t first = position + head;
  std::int64_t i = way;
  for (; i + (kAtOnce - 1) * ways < vectors; i += kAtOnce * ways) {
    V loaded[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) loaded[k] = load_vector<Stored>(dense + i + k * ways);
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      add_vector<Fold>(running, loaded[k], first + (i + k * ways) * V::kElements);
    }
    Fold::settle(running);
  }
  for (; i < vectors; i += ways) {
    add_vector<Fold>(running, load_vector<Stored>(dense + i), first + i * V::kElements);
    Fold::settle(running);
  }

  for (i = head + vectors * V::kElements + way; i < n; i += ways) Fold::add(running, from[i], position + i);
  Fold::settle(running);
}

/// A thread's part of the elements begin to end of an output, wherever they are.
template <class Fold>
__device__ void add_strided(typename Fold::Running& running, const ReducePlan& plan,
                            const typename Fold::Stored* from, std::int64_t begin, std::int64_t end,
                            int way) {
  if (begin + way >= end) return;
  std::int64_t left = end - begin - way + plan.ways - 1;
  left = divide(left, plan.ways);
  ElementWalk walk(plan, begin + way);
  for (; left >= kAtOnce; left -= kAtOnce) {
    typename Fold::Stored loaded[kAtOnce];
    std::int64_t positions[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      loaded[k] = from[walk.offset()];
      positions[k] = walk.position();
      walk.next();
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) Fold::add(running, loaded[k], positions[k]);
    Fold::settle(running);
  }
  for (; left > 0; --left) {
    Fold::add(running, from[walk.offset()], walk.position());
    walk.next();
  }
  Fold::settle(running);
}

/// Merges the accumulators of the threads that share an output, which are `step` threads apart, by halves.
/// All threads of the block call it; the result is that of the first of each.
template <class Fold>
__device__ typename Fold::Accumulator merge_ways(const typename Fold::Accumulator& own, int way, int ways,
                                                 int step) {
  using Accumulator = typename Fold::Accumulator;
  if (ways == 1) return own;
  alignas(16) __shared__ unsigned char memory[kThreads * sizeof(Accumulator)];
  Accumulator* const mine = reinterpret_cast<Accumulator*>(memory) + threadIdx.x;
  *mine = own;
  // Those of one warp wait for each other only.
  const bool in_warp = ways * step <= 32;
  for (int half = ways / 2; half > 0; half /= 2) {
    if (in_warp) {
      __syncwarp();
    } else {
      __syncthreads();
    }
    if (way < half) Fold::merge(*mine, mine[half * step]);
  }
  const Accumulator merged = *mine;
  // The next round writes where others may still read.
  __syncthreads();
  return merged;
}

/// One accumulator an output and split, or the results themselves where outputs are not split.
template <class Fold>
__global__ void __launch_bounds__(kThreads)
    reduce_kernel(const __grid_constant__ ReducePlan plan, typename Fold::Accumulator* partial) {
  const int thread = static_cast<int>(threadIdx.x);
  const int column = plan.columns_adjacent ? thread % plan.columns : thread / plan.ways;
  const int way = plan.columns_adjacent ? thread / plan.columns : thread % plan.ways;
  const std::int64_t units = plan.tiles * plan.splits;
  for (std::int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    std::int64_t split = unit;
    const std::int64_t tile = divide(split, plan.splits);
    const std::int64_t number = tile * plan.columns + column;
    const bool exists = number < plan.kept_count;
    const OutputPlace place = exists ? output_place(plan, number) : OutputPlace();
    typename Fold::Running running;
    if (exists) {
      const auto* from = static_cast<const typename Fold::Stored*>(plan.input) + place.input;
      const std::int64_t begin = split * plan.split_size;
      const std::int64_t rest = plan.reduced_count - begin;
      const std::int64_t n = rest < plan.split_size ? rest : plan.split_size;
      if (plan.contiguous) {
        add_dense<Fold>(running, from + begin, n, begin, way, plan.ways);
      } else {
        add_strided<Fold>(running, plan, from, begin, begin + n, way);
      }
    }
    const auto merged =
        merge_ways<Fold>(Fold::total(running), way, plan.ways, plan.columns_adjacent ? plan.columns : 1);
    if (way != 0 || !exists) continue;
    if (plan.splits > 1) {
      partial[number * plan.splits + split] = merged;
    } else {
      Fold::finish(plan, merged, place.output);
    }
  }
}

/// The results of outputs that were split; ways threads share one.
template <class Fold>
__global__ void __launch_bounds__(kThreads)
    merge_kernel(const __grid_constant__ ReducePlan plan, const typename Fold::Accumulator* partial,
                 int ways) {
  const int columns = kThreads / ways;
  const int column = static_cast<int>(threadIdx.x) / ways;
  const int way = static_cast<int>(threadIdx.x) % ways;
  for (std::int64_t tile = blockIdx.x; tile * columns < plan.kept_count; tile += gridDim.x) {
    const std::int64_t number = tile * columns + column;
    const bool exists = number < plan.kept_count;
    auto own = Fold::nothing();
    if (exists) {
      const auto* from = partial + number * plan.splits;
      for (std::int64_t i = way; i < plan.splits; i += ways) Fold::merge(own, from[i]);
    }
    const auto merged = merge_ways<Fold>(own, way, ways, 1);
    if (way == 0 && exists) Fold::finish(plan, merged, output_place(plan, number).output);
  }
}

inline dim3 grid_of(std::int64_t blocks) {
  constexpr std::int64_t kMost = 0x7fffffff;  // the rest is done in further rounds
  return dim3(static_cast<unsigned>(std::min(blocks, kMost)));
}

template <class Fold>
cudaError_t launch_fold(const ReducePlan& plan, void* accumulators, cudaStream_t stream) {
  using Accumulator = typename Fold::Accumulator;
  auto* partial = static_cast<Accumulator*>(accumulators);
  void* arguments[] = {const_cast<ReducePlan*>(&plan), &partial};
  const cudaError_t error = cudaLaunchKernel(&reduce_kernel<Fold>, grid_of(plan.tiles * plan.splits),
                                             dim3(kThreads), arguments, 0, stream);
  if (error != cudaSuccess || plan.splits == 1) return error;
  int ways = 1;
  while (ways < kThreads && ways < plan.splits) ways *= 2;
  void* merge_arguments[] = {const_cast<ReducePlan*>(&plan), &partial, &ways};
  const std::int64_t columns = kThreads / ways;
  return cudaLaunchKernel(&merge_kernel<Fold>, grid_of((plan.kept_count + columns - 1) / columns),
                          dim3(kThreads), merge_arguments, 0, stream);
}

template <class Fold>
ReduceKernels kernels_of() {
  return {sizeof(typename Fold::Accumulator), &launch_fold<Fold>};
}

/// Those of a fold for a type known when the program runs.
template <template <DType> class Fold>
ReduceKernels kernels_of(DType dtype) {
  switch (dtype) {
    case DType::f64: return kernels_of<Fold<DType::f64>>();
    case DType::f32: return kernels_of<Fold<DType::f32>>();
    case DType::f16: return kernels_of<Fold<DType::f16>>();
    case DType::bf16: return kernels_of<Fold<DType::bf16>>();
    case DType::i64: return kernels_of<Fold<DType::i64>>();
    case DType::i32: return kernels_of<Fold<DType::i32>>();
    case DType::i16: return kernels_of<Fold<DType::i16>>();
    case DType::i8: return kernels_of<Fold<DType::i8>>();
    case DType::u8: return kernels_of<Fold<DType::u8>>();
    case DType::boolean: break;
  }
  return kernels_of<Fold<DType::boolean>>();
}

/// The part of a fold that is the same for all whose threads keep an accumulator and nothing else.
template <class Fold, typename T>
struct PlainFold {
  using Accumulator = T;
  struct Running {
    T value = Fold::nothing();
  };
  static __device__ void settle(Running& /*running*/) {}
  static __device__ T total(Running& running) { return running.value; }
};

}  // namespace millrace::cuda
