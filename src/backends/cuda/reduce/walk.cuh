// Elements that lie anywhere: by the vectors of runs that belong to one output, by vectors of as many outputs
// as they have elements, or one by one.
#pragma once

#include <cstdint>
#include <type_traits>

#include "backends/cuda/reduce/deliver.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/merge.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/split.cuh"
#include "backends/cuda/reduce/steps.cuh"
#include "backends/cuda/reduce/variants.h"

namespace millrace::cuda {

/// Offsets of steps that a block computes at once. They are the same for all of its threads, and so cost a
/// division or more each only once, however many loops there are.
template <bool kHasPosition, bool kIsRun>
struct StepWindow {
  static constexpr int kSize = 512;
  std::int64_t bytes[kSize];
  std::int64_t positions[kHasPosition ? kSize : 1];
  int vectors[kIsRun ? kSize : 1];  ///< of their runs

  /// All threads of the block call it.
  __device__ void fill(const ReducePlan& plan, std::int64_t first, int n, int element_bytes) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
      const Offset offset = offset_of_step(plan, first + i);
      bytes[i] = offset.input * element_bytes;
      if constexpr (kHasPosition) positions[i] = offset.position;
      if constexpr (kIsRun) vectors[i] = offset.innermost;
    }
    __syncthreads();
  }
};

/// How the threads of a regime load, and what they make of that.
template <class Fold, Regime kRegime>
class Walker {
 public:
  static constexpr DType kDType = Fold::kDType;
  using Stored = typename Element<kDType>::Stored;
  static constexpr int kElement = static_cast<int>(sizeof(Stored));
  static constexpr int kVector = Vector<kDType>::kElements;
  static constexpr bool kIsRun = kRegime == Regime::vectors;
  static constexpr bool kHasLanes = kRegime == Regime::lanes || kRegime == Regime::columns;
  static constexpr int kLanes = kHasLanes ? kVector : 1;
  static constexpr bool kIsDeep = kRegime == Regime::lanes && kHasDeepHalfLanes;
  // As many as fit the registers.
  static constexpr int kAtOnce = kRegime == Regime::elements && !Fold::kHasPosition ? kElementsAtOnce<Stored>
                                 : kHasLanes && (kLanes <= 4 || kIsDeep)            ? kVectorsAtOnce + 2
                                 : kRegime == Regime::columns                       ? kVectorsAtOnce + 1
                                                                                    : kVectorsAtOnce;
  // Vectors that are used as they come are read faster by turns.
  static constexpr bool kRolls = kRegime == Regime::columns || kRegime == Regime::elements;
  using Window = StepWindow<Fold::kHasPosition, kIsRun>;
  using Running = typename Fold::Running[kLanes];

  __device__ Walker(const ReducePlan& plan, const Way& way, const Output& output)
      : plan_(plan),
        from_(static_cast<const char*>(plan.input) +
              (output.place.input + way.offset.input) * static_cast<std::int64_t>(kElement)),
        position_(way.offset.position),
        vector_(way.offset.innermost) {}

  /// The first n steps of a window.
  __device__ void add(Running& running, const Window& window, int n) const {
    Loaded loaded[kAtOnce];
    int i = 0;
    while (i + kAtOnce <= n) {
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) load(loaded[k], window, i + k);
      // As soon as one is added another is loaded in its place, so that as many are always on their way.
      for (; kRolls && i + 2 * kAtOnce <= n; i += kAtOnce) {
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          add_loaded(running, loaded[k], window, i + k);
          load(loaded[k], window, i + kAtOnce + k);
        }
        settle(running);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) add_loaded(running, loaded[k], window, i + k);
      settle(running);
      i += kAtOnce;
    }
#pragma unroll
    for (int k = 0; k < kAtOnce - 1; ++k) {
      if (i + k < n) load(loaded[k], window, i + k);
    }
#pragma unroll
    for (int k = 0; k < kAtOnce - 1; ++k) {
      if (i + k < n) add_loaded(running, loaded[k], window, i + k);
    }
    settle(running);
  }

 private:
  static __device__ void settle(Running& running) {
#pragma unroll
    for (int lane = 0; lane < kLanes; ++lane) Fold::settle(running[lane]);
  }

  /// The vector that begins so many bytes behind that one, the rest of which the thread's neighbour has. All
  /// threads of the warp call it; the last has no neighbour and gets nothing that makes sense.
  static __device__ Vector<kDType> shifted(const Vector<kDType>& vector, int bytes) {
    std::uint32_t words[8], moved[6];
    Vector<kDType> result;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      words[i] = vector.words[i];
      words[4 + i] = __shfl_down_sync(0xffffffffU, vector.words[i], 1);
    }
#pragma unroll
    for (int i = 0; i < 6; ++i) moved[i] = (bytes & 8) != 0 ? words[i + 2] : words[i];
#pragma unroll
    for (int i = 0; i < 5; ++i) moved[i] = (bytes & 4) != 0 ? moved[i + 1] : moved[i];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      result.words[i] = kElement < 4 ? __funnelshift_r(moved[i], moved[i + 1], bytes % 4 * 8) : moved[i];
    }
    return result;
  }

  using Loaded = std::conditional_t<kRegime == Regime::elements, Stored, Vector<kDType>>;

  /// Bytes that an address is past a vector's.
  static __device__ int past(const char* at) {
    return static_cast<int>(reinterpret_cast<std::uintptr_t>(at) % kVectorBytes);
  }
  /// Elements of its run that are before a vector; negative for those of the vector that are before the run.
  static __device__ int before(const char* at, int vector) {
    return vector * kVector - past(at) / kElement;
  }

  __device__ void load(Loaded& loaded, const Window& window, int step) const {
    const char* const at = from_ + window.bytes[step];
    if constexpr (kIsRun) {
      if (before(at, vector_ + window.vectors[step]) >= plan_.run) return;
      loaded = load_before<kDType>(at - past(at), plan_.input_end);
    } else if constexpr (kRegime == Regime::columns) {
      loaded = load_before<kDType>(at - past(at), plan_.input_end);
    } else if constexpr (kRegime == Regime::lanes) {
      // Of four bytes that is 2 % slower.
      loaded = kElement == 2 ? load_streamed<kDType>(at) : load_vector<kDType>(at);
    } else {
      loaded = *reinterpret_cast<const Stored*>(at);
    }
  }

  __device__ void add_loaded(Running& running, const Loaded& loaded, const Window& window, int step) const {
    std::int64_t position = position_;
    if constexpr (Fold::kHasPosition) position += window.positions[step];
    if constexpr (kIsRun) {
      const int first = before(from_ + window.bytes[step], vector_ + window.vectors[step]);
      if constexpr (Fold::kHasPosition) {
        // That of the vector is as if it began with the run.
        const std::int64_t position_step = plan_.reduced[0].other / kVector;
        position += (first - (vector_ + window.vectors[step]) * kVector) * position_step;
        add_one_by_one<Fold>(running[0], loaded, position, position_step, -first, plan_.run - first);
      } else if (first >= 0 && first + kVector <= plan_.run) {
        add_vector<Fold>(running[0], loaded, 0);
      } else {
        add_one_by_one<Fold>(running[0], loaded, 0, 0, -first, plan_.run - first);
      }
    } else if constexpr (kRegime == Regime::elements) {
      Fold::add(running[0], Element<kDType>::load(loaded), position);
    } else {
      Vector<kDType> own = loaded;
      if constexpr (kRegime == Regime::columns) own = shifted(loaded, past(from_ + window.bytes[step]));
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) Fold::add(running[lane], own[lane], position);
    }
  }

  const ReducePlan& plan_;
  const char* const from_;
  const std::int64_t position_;
  const int vector_;  ///< of its run, for the first of the steps
};

/// A thread's part of a unit. windowed: the step with which the window begins. All threads of the block call
/// it.
template <class Fold, Regime kRegime>
__device__ void walk_unit(const ReducePlan& plan, std::int64_t number,
                          typename Walker<Fold, kRegime>::Running& running,
                          typename Walker<Fold, kRegime>::Window& window, std::int64_t& windowed) {
  using W = Walker<Fold, kRegime>;
  const Seat seat(plan);
  const Unit unit(plan, number);
  const Way way(plan, seat.way);
  const Output output(plan, unit.tile, seat.column, seat.outer);
  const W walker(plan, way, output);
  // Neighbours ask all threads of a warp, also those that have no output.
  const bool takes_part = output.lanes != 0 || (kRegime == Regime::columns && seat.outer < plan.outer);
  std::int64_t own = takes_part ? unit.steps(plan, way.steps) : 0;
  std::int64_t left = unit.steps(plan, plan.steps);
  for (std::int64_t first = unit.first; left > 0; first += W::Window::kSize) {
    const int n = static_cast<int>(left < W::Window::kSize ? left : W::Window::kSize);
    if (windowed != first) {
      windowed = first;
      window.fill(plan, first, n, W::kElement);
    }
    walker.add(running, window, own < n ? static_cast<int>(own) : n);
    left -= n;
    own = own < n ? 0 : own - n;
  }
}

template <class Fold, Regime kRegime>
__device__ __forceinline__ void walk_block(const ReducePlan& plan,
                                           const Splits<typename Fold::Accumulator>& others) {
  using W = Walker<Fold, kRegime>;
  __shared__ typename W::Window window;
  __shared__ SharedValues<typename Fold::Accumulator, kThreads * kLanesAtOnce<Fold, W::kLanes>> memory;
  std::int64_t windowed = -1;
  for (std::int64_t number = blockIdx.x; number < plan.tiles * plan.splits; number += gridDim.x) {
    typename W::Running running;
    walk_unit<Fold, kRegime>(plan, number, running, window, windowed);
    deliver<Fold, W::kLanes>(plan, number, running, memory, others);
  }
}

template <class Fold, Regime kRegime>
__global__ void __launch_bounds__(kThreads, !Fold::kHasLanes                    ? 2
                                            : Walker<Fold, kRegime>::kLanes > 1 ? 3
                                                                                : 4)
    walk_kernel(const __grid_constant__ ReducePlan plan, Splits<typename Fold::Accumulator> others) {
  walk_block<Fold, kRegime>(plan, others);
}

}  // namespace millrace::cuda
