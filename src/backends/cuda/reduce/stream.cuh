// Tiles whose steps follow each other in memory: they come through shared memory, copied ahead by the device's
// copy engine of each multiprocessor, so that memory is busy while a block merges and writes what it has found.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/deliver.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/merge.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/split.cuh"
#include "backends/cuda/reduce/steps.cuh"

namespace millrace::cuda {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// A barrier in shared memory whose phases end when all that is expected has arrived.
class PhaseBarrier {
 public:
  __device__ void init(int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&word_)), "r"(arrivals) : "memory");
  }
  __device__ void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&word_)) : "memory");
  }
  /// Arrives, and expects so many bytes of copies too.
  __device__ void arrive_expecting(int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&word_)), "r"(bytes)
                 : "memory");
  }
  /// Until the phase of that parity has ended.
  __device__ void wait(unsigned parity) const {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra ended;\n"
        "bra again;\n"
        "ended:\n"
        "}\n" ::"r"(shared_address(&word_)),
        "r"(parity)
        : "memory");
  }
  /// Copies to shared memory; the bytes arrive here.
  __device__ void copy(void* to, const void* from, int bytes) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(&word_))
                 : "memory");
  }

 private:
  unsigned long long word_;
};

/// Steps that are copied at once, and how many of those are on their way or waited for by the block.
inline constexpr int kStreamedSteps = 2;
template <class Fold>
inline constexpr int kStagesOf = Fold::kHasLanes ? 4 : 3;  // 48 KiB, with what is merged

template <class Fold, int kLanes>
class Stream {
 public:
  using Vectors = Vector<Fold::kDType>;
  static constexpr int kStages = kStagesOf<Fold>;
  struct Shared {
    Vectors vectors[kStages][kStreamedSteps][kThreads];
    PhaseBarrier full[kStages], empty[kStages];
    // The first thread's: what is copied next, and where the loops are that steps count through.
    std::int64_t number, left;
    const char* at;
    std::int64_t part, indices[kMaxDims];
  };

  __device__ Stream(const ReducePlan& plan, Shared& shared) : plan_(plan), shared_(shared) {
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < kStages; ++stage) {
        shared.full[stage].init(1);
        shared.empty[stage].init(kThreads / kWarp);
      }
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
      shared.number = blockIdx.x;
      begin_unit();
      for (int stage = 0; stage < kStages; ++stage) copy(stage);
    }
    __syncthreads();
  }

  /// A thread's part of a unit of so many steps.
  __device__ void add(typename Fold::Running (&running)[kLanes], std::int64_t steps) {
    const auto thread = static_cast<int>(threadIdx.x);
    int added = 0;
    for (std::int64_t left = steps; left > 0; left -= kStreamedSteps) {
      const int stage = turn_ % kStages;
      const unsigned parity = turn_ / kStages % 2;
      shared_.full[stage].wait(parity);
      Vectors loaded[kStreamedSteps];
#pragma unroll
      for (int k = 0; k < kStreamedSteps; ++k) {
        if (k < left) loaded[k] = shared_.vectors[stage][k][thread];
      }
      __syncwarp();
      if (thread % kWarp == 0) shared_.empty[stage].arrive();
      // What the block was done with a turn ago: nobody is waited for long.
      if (thread == 0 && turn_ > 0) refill(turn_ - 1);
#pragma unroll
      for (int k = 0; k < kStreamedSteps; ++k) {
        if (k >= left) continue;
        if constexpr (kLanes == 1) {
          add_vector<Fold>(running[0], loaded[k], 0);
        } else {
#pragma unroll
          for (int lane = 0; lane < kLanes; ++lane) Fold::add(running[lane], loaded[k][lane], 0);
        }
      }
      added += kStreamedSteps * (kLanes == 1 ? Vectors::kElements : 1);
      if (added >= 32) {
        settle(running);
        added = 0;
      }
      ++turn_;
    }
    settle(running);
  }

 private:
  static __device__ void settle(typename Fold::Running (&running)[kLanes]) {
#pragma unroll
    for (int lane = 0; lane < kLanes; ++lane) Fold::settle(running[lane]);
  }
  __device__ void refill(unsigned turn) {
    const int stage = turn % kStages;
    if (shared_.number >= plan_.tiles * plan_.splits) return;
    shared_.empty[stage].wait(turn / kStages % 2);
    copy(stage);
  }
  /// Where the unit's first thread reads.
  __device__ void begin_unit() {
    if (shared_.number >= plan_.tiles * plan_.splits) return;
    const Unit unit(plan_, shared_.number);
    const Output output(plan_, unit.tile, 0, 0);
    shared_.left = unit.steps(plan_, plan_.steps);
    shared_.at = static_cast<const char*>(plan_.input) +
                 (output.place.input + offset_of_step(plan_, unit.first).input) * kElement;
    std::int64_t part = unit.first;
    std::int64_t further = plan_.covered == plan_.reduced_rank ? 0 : divide(part, plan_.parts);
    shared_.part = part;
#pragma unroll 1
    for (int i = plan_.covered + 1; i < plan_.reduced_rank; ++i) {
      std::int64_t index = further;
      further = divide(index, plan_.reduced[i]);
      shared_.indices[i] = index;
    }
  }
  /// To the next step, without a division.
  __device__ void advance() {
    if (plan_.covered == plan_.reduced_rank) return;
    const Loop& loop = plan_.reduced[plan_.covered];
    const std::int64_t stride = loop.stride * plan_.part * kElement;
    shared_.at += stride;
    if (++shared_.part < plan_.parts) return;
    shared_.at -= plan_.parts * stride;
    shared_.part = 0;
#pragma unroll 1
    for (int i = plan_.covered + 1; i < plan_.reduced_rank; ++i) {
      const std::int64_t further = plan_.reduced[i].stride * kElement;
      shared_.at += further;
      if (++shared_.indices[i] < plan_.reduced[i].size) return;
      shared_.at -= plan_.reduced[i].size * further;
      shared_.indices[i] = 0;
    }
  }
  __device__ void copy(int stage) {
    if (shared_.number >= plan_.tiles * plan_.splits) return;
    const std::int64_t left = shared_.left;
    const int n = left < kStreamedSteps ? static_cast<int>(left) : kStreamedSteps;
    shared_.full[stage].arrive_expecting(n * kStreamedBytes);
    for (int k = 0; k < n; ++k) {
      shared_.full[stage].copy(&shared_.vectors[stage][k][0], shared_.at, kStreamedBytes);
      advance();
    }
    shared_.left = left - n;
    if (left > n) return;
    shared_.number += gridDim.x;
    begin_unit();
  }

  static constexpr int kElement = static_cast<int>(sizeof(typename Element<Fold::kDType>::Stored));
  const ReducePlan& plan_;
  Shared& shared_;
  unsigned turn_ = 0;
};

#endif

template <class Fold, int kLanes>
__global__ void __launch_bounds__(kThreads, !Fold::kHasLanes ? 2 : kLanes > 1 ? 3 : 4)
    stream_kernel(const __grid_constant__ ReducePlan plan, Splits<typename Fold::Accumulator> others) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  using S = Stream<Fold, kLanes>;
  __shared__ alignas(128) unsigned char bytes[sizeof(typename S::Shared)];
  __shared__ SharedValues<typename Fold::Accumulator, kThreads * kLanesAtOnce<Fold, kLanes>> memory;
  S stream(plan, *reinterpret_cast<typename S::Shared*>(bytes));
  for (std::int64_t number = blockIdx.x; number < plan.tiles * plan.splits; number += gridDim.x) {
    typename Fold::Running running[kLanes];
    stream.add(running, Unit(plan, number).steps(plan, plan.steps));
    deliver<Fold, kLanes>(plan, number, running, memory, others);
  }
#endif
}

}  // namespace millrace::cuda
