// One output of all elements, which follow each other in memory: as few instructions and waits as there can
// be between the launch and the result.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "backends/cuda/reduce/dense.cuh"
#include "backends/cuda/reduce/finish.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/merge.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/variants.h"

namespace millrace::cuda {

/// Where a block leaves what it found: four bytes of that in each word and, above them, a mark that they are
/// there. So no block waits until another's writes are seen, nor counts. All 0 between reductions. leave's
/// stores and look's loads are relaxed: a word brings what it announces, and nothing else is read because of
/// it.
template <typename T>
struct alignas(16) WholeSlot {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kWholeSlotBytes / 2);
  static constexpr std::uint64_t kMark = std::uint64_t{1} << 32;
  static constexpr int kPairs = (static_cast<int>(sizeof(T)) + 7) / 8;
  unsigned long long words[2 * kPairs];

  __device__ void leave(const T& value) {
    std::uint32_t parts[2 * kPairs] = {};
    memcpy(parts, &value, sizeof value);
#pragma unroll
    for (int i = 0; i < 2 * kPairs; i += 2) {
      asm volatile("st.relaxed.gpu.global.v2.b64 [%0], {%1, %2};" ::"l"(words + i), "l"(kMark | parts[i]),
                   "l"(kMark | parts[i + 1])
                   : "memory");
    }
  }
  /// False: not there yet.
  __device__ bool look(T& value) const {
    unsigned long long found[2 * kPairs];
    std::uint32_t parts[2 * kPairs];
    unsigned long long marks = kMark;
#pragma unroll
    for (int i = 0; i < 2 * kPairs; i += 2) {
      asm volatile("ld.relaxed.gpu.global.v2.b64 {%0, %1}, [%2];"
                   : "=l"(found[i]), "=l"(found[i + 1])
                   : "l"(words + i)
                   : "memory");
    }
#pragma unroll
    for (int i = 0; i < 2 * kPairs; ++i) {
      marks &= found[i];
      parts[i] = static_cast<std::uint32_t>(found[i]);
    }
    memcpy(&value, parts, sizeof value);
    return marks != 0;
  }
  __device__ void clear() {
#pragma unroll
    for (unsigned long long& word : words) word = 0;
  }
};

/// What a whole block has found; for its first thread.
template <class Fold>
__device__ void merge_block(typename Fold::Accumulator& own) {
  __shared__ SharedValues<typename Fold::Accumulator, kWholeThreads / kWarp> of_warps;
  const int thread = static_cast<int>(threadIdx.x), warps = static_cast<int>(blockDim.x) / kWarp;
  merge_in_warp<Fold>(own, kWarp);
  if (warps == 1) return;
  if (thread % kWarp == 0) of_warps[thread / kWarp] = own;
  __syncthreads();
  if (thread >= kWarp) return;
  own = thread < warps ? of_warps[thread] : Fold::nothing();
  merge_in_warp<Fold>(own, kWarp);
}

/// Memory need not be waited for when the slots are looked at.
template <class Slot>
__device__ void prefetch_slots(const Slot* slots, int n) {
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < n) asm volatile("prefetch.global.L2 [%0];" ::"l"(slots + thread));
}

/// The first warp of the last block waits for all others, which are launched before it and wait for nobody.
template <class Fold>
__device__ void merge_slots(typename Fold::Accumulator& own, WholeSlot<typename Fold::Accumulator>* slots,
                            int others) {
  using Accumulator = typename Fold::Accumulator;
  constexpr int kAtOnce = (kWholeBlocks + kWarp - 1) / kWarp;
  const int thread = static_cast<int>(threadIdx.x);
  Accumulator found[kAtOnce];
  bool missing = true;
  while (missing) {
    missing = false;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (thread + i * kWarp < others) missing |= !slots[thread + i * kWarp].look(found[i]);
    }
  }
  Accumulator all = thread == 0 ? own : Fold::nothing();
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) {
    if (thread + i * kWarp >= others) continue;
    slots[thread + i * kWarp].clear();
    Fold::merge(all, found[i]);
  }
  __syncwarp();
  merge_in_warp<Fold>(all, kWarp);
  own = all;
}

template <class Fold>
__device__ __forceinline__ void whole_block(const ReducePlan& plan,
                                            WholeSlot<typename Fold::Accumulator>* slots) {
  using Stored = typename Element<Fold::kDType>::Stored;
  const bool is_last = blockIdx.x + 1 == gridDim.x;
  const int others = static_cast<int>(gridDim.x) - 1;
  if (is_last) prefetch_slots(slots, others);
  const std::int64_t first = blockIdx.x * plan.split_size;
  const std::int64_t left = plan.reduced_count - first;
  const Run<Fold::kDType> run(static_cast<const Stored*>(plan.input) + first,
                              left < plan.split_size ? left : plan.split_size, plan.input_end);
  typename Fold::Running running;
  add_run<Fold>(running, run, first, {static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x)});
  auto found = Fold::total(running);
  merge_block<Fold>(found);
  if (threadIdx.x >= kWarp) return;
  if (is_last && others > 0) merge_slots<Fold>(found, slots, others);
  if (threadIdx.x != 0) return;
  if (is_last) {
    finish<Fold>(plan, found, Place{});
  } else {
    slots[blockIdx.x].leave(found);
  }
}

/// What this regime needs of a plan: few enough bytes for a launch to bring at once.
struct WholeWork {
  const void* input;
  void* output;
  const void* input_end;
  std::int64_t reduced_count;
  std::int64_t split_size;
  void* values;
  ReduceOp op;

  explicit WholeWork(const ReducePlan& plan)
      : input(plan.input),
        output(plan.output),
        input_end(plan.input_end),
        reduced_count(plan.reduced_count),
        split_size(plan.split_size),
        values(plan.values),
        op(plan.op) {}
};

/// A plan of it, of which the compiler keeps what is used in registers.
__device__ __forceinline__ ReducePlan plan_of_whole(const WholeWork& work) {
  ReducePlan plan;
  plan.input = work.input;
  plan.output = work.output;
  plan.input_end = work.input_end;
  plan.reduced_count = work.reduced_count;
  plan.split_size = work.split_size;
  plan.values = work.values;
  plan.op = work.op;
  plan.is_dense = true;
  return plan;
}
__device__ __forceinline__ const ReducePlan& plan_of_whole(const ReducePlan& plan) {
  return plan;
}

using WholeParameter = std::conditional_t<kHasSlimWholes, WholeWork, ReducePlan>;

template <class Fold>
__global__ void __launch_bounds__(kWholeThreads, 1)
    whole_kernel(WholeSlot<typename Fold::Accumulator>* slots,
                 const __grid_constant__ WholeParameter parameter) {
  whole_block<Fold>(plan_of_whole(parameter), slots);
}

}  // namespace millrace::cuda
