// What an operation is to the kernels, and their launches.
//
// An operation is a fold:
//   kDType         the type of an element
//   Running        what one thread knows; default-constructed of no element
//   Accumulator    what is merged: trivial, aligned to 8 bytes at most
//   kHasPosition   does add look at positions?
//   kHasLanes      is Running so small that a thread can have one for each element of a vector?
//   add(running, value, position)
//   add_vector(running, vector, position)  elements that follow each other; left out where add does
//   settle(running)  after at most 64 elements: moves what must not grow long
//   total(running)   the accumulator; after settle
//   nothing()        the accumulator of no element
//   merge(a, b)      puts b into a; the same result for any order of elements but for rounding
//   result(plan, accumulator)  the result; or
//   finish(plan, accumulator, place)  writes it there, where it is not one number of one type
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "backends/cuda/reduce/dense.cuh"
#include "backends/cuda/reduce/few.cuh"
#include "backends/cuda/reduce/kernels.h"
#include "backends/cuda/reduce/pack.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/rows.cuh"
#include "backends/cuda/reduce/stream.cuh"
#include "backends/cuda/reduce/variants.h"
#include "backends/cuda/reduce/walk.cuh"
#include "backends/cuda/reduce/whole.cuh"

namespace millrace::cuda {

/// The part of a fold that is the same for all whose threads keep an accumulator and nothing else.
template <class Fold, typename T>
struct PlainFold {
  using Accumulator = T;
  static constexpr bool kHasPosition = false;
  static constexpr bool kHasLanes = true;
  struct Running {
    T value = Fold::nothing();
  };
  static __device__ void settle(Running& /*running*/) {}
  static __device__ T total(Running& running) { return running.value; }
};

/// The kernel for a plan's regime.
template <class Fold, bool kIsTuned>
const void* kernel_for(const ReducePlan& plan) {
  if constexpr (kIsTuned) {
    if (plan.regime == Regime::rows) {
      if constexpr (Fold::kHasLanes && !Fold::kHasPosition) {
        if (plan.rows_at_once == 2) return address(&rows_kernel<Fold, 2>);
      }
      return address(&rows_kernel<Fold, 1>);
    }
    if constexpr (kHasStreams && !Fold::kHasPosition) {
      if (plan.is_streamed && plan.regime == Regime::vectors) return address(&stream_kernel<Fold, 1>);
    }
    if (plan.regime == Regime::vectors) return address(&walk_kernel<Fold, Regime::vectors>);
  }
  if constexpr (kIsTuned && Fold::kHasLanes) {
    constexpr int kVector = Vector<Fold::kDType>::kElements;
    if constexpr (kHasStreams && !Fold::kHasPosition) {
      if (plan.is_streamed && plan.regime == Regime::lanes) return address(&stream_kernel<Fold, kVector>);
    }
    if (plan.regime == Regime::lanes) return address(&walk_kernel<Fold, Regime::lanes>);
    if (plan.regime == Regime::few) {
      if (plan.lanes == kVector) return address(&few_kernel<Fold, kVector>);
      if constexpr (kIsHalf<Fold::kDType>) {
        if (plan.lanes == 2) return address(&few_kernel<Fold, 2>);
      }
      return address(&few_kernel<Fold, 1>);
    }
    if (plan.regime == Regime::whole) return address(&whole_kernel<Fold>);
    if constexpr (!Fold::kHasPosition) {
      if (plan.regime == Regime::columns) return address(&walk_kernel<Fold, Regime::columns>);
    }
  }
  if (plan.regime == Regime::dense) return address(&dense_kernel<Fold>);
  return address(&walk_kernel<Fold, Regime::elements>);
}

template <class Fold, bool kIsTuned>
cudaError_t launch_fold(const ReducePlan& plan, void* accumulators, unsigned* tickets, cudaStream_t stream) {
  Splits<typename Fold::Accumulator> splits{static_cast<typename Fold::Accumulator*>(accumulators), tickets};
  // Those of rows and few have one parameter; a second is not looked at.
  void* arguments[] = {const_cast<ReducePlan*>(&plan), &splits};
  std::conditional_t<kHasSlimWholes, const WholeWork, const ReducePlan&> whole(plan);
  void* of_whole[] = {&tickets, const_cast<WholeParameter*>(&whole)};
  if (plan.is_streamed) {
    cudaFuncSetAttribute(kernel_for<Fold, kIsTuned>(plan), cudaFuncAttributePreferredSharedMemoryCarveout,
                         cudaSharedmemCarveoutMaxShared);
  }
  return cudaLaunchKernel(kernel_for<Fold, kIsTuned>(plan), dim3(static_cast<unsigned>(plan.blocks)),
                          dim3(static_cast<unsigned>(plan.threads)),
                          plan.regime == Regime::whole ? of_whole : arguments, 0, stream);
}

template <class Fold, bool kIsTuned>
ReduceKernels kernels_of() {
  ReduceKernels kernels{sizeof(typename Fold::Accumulator), &launch_fold<Fold, kIsTuned>, nullptr};
  if constexpr (kIsTuned) kernels.launch_pack = &launch_pack<Fold>;
  return kernels;
}

/// Those of a fold for a type known when the program runs. kMayBeTuned: false for folds that have no others
/// than dense and elements.
template <template <DType> class Fold, bool kMayBeTuned = true>
ReduceKernels kernels_of(DType dtype) {
  switch (dtype) {
    case DType::f64: return kernels_of < Fold<DType::f64>, kMayBeTuned && has_tuned_kernels(DType::f64) > ();
    case DType::f32: return kernels_of < Fold<DType::f32>, kMayBeTuned && has_tuned_kernels(DType::f32) > ();
    case DType::f16: return kernels_of < Fold<DType::f16>, kMayBeTuned && has_tuned_kernels(DType::f16) > ();
    case DType::bf16:
      return kernels_of < Fold<DType::bf16>, kMayBeTuned && has_tuned_kernels(DType::bf16) > ();
    case DType::i64: return kernels_of < Fold<DType::i64>, kMayBeTuned && has_tuned_kernels(DType::i64) > ();
    case DType::i32: return kernels_of < Fold<DType::i32>, kMayBeTuned && has_tuned_kernels(DType::i32) > ();
    case DType::i16: return kernels_of < Fold<DType::i16>, kMayBeTuned && has_tuned_kernels(DType::i16) > ();
    case DType::i8: return kernels_of < Fold<DType::i8>, kMayBeTuned && has_tuned_kernels(DType::i8) > ();
    case DType::u8: return kernels_of < Fold<DType::u8>, kMayBeTuned && has_tuned_kernels(DType::u8) > ();
    case DType::boolean: break;
  }
  return kernels_of < Fold<DType::boolean>, kMayBeTuned && has_tuned_kernels(DType::boolean) > ();
}

}  // namespace millrace::cuda
