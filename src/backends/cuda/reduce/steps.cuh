// The order in which a block goes through the elements of its outputs, where that is not simply memory's.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/merge.cuh"
#include "backends/cuda/reduce/place.cuh"
#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// Where an element is, relative to another: in elements.
struct Offset {
  std::int64_t input = 0;
  std::int64_t position = 0;
  int innermost = 0;  ///< of which iteration of the innermost loop

  __device__ void move(const Loop& loop, std::int64_t steps) {
    input += steps * loop.stride;
    position += steps * loop.other;
  }
};

/// The offset of a step, for the first of the ways.
__device__ __noinline__ inline Offset offset_of_step(const ReducePlan& plan, std::int64_t step) {
  Offset offset;
  if (plan.covered == plan.reduced_rank) return offset;
  // Whole parts first, then the last ones where those are smaller.
  const std::int64_t whole_parts = plan.whole_steps == plan.steps ? plan.parts : plan.parts - 1;
  std::int64_t part = plan.parts - 1, further = step - plan.whole_steps;
  if (step < plan.whole_steps) {
    part = step;
    further = divide(part, whole_parts);
  }
  offset.move(plan.reduced[plan.covered], part * plan.part);
  if (plan.covered == 0) offset.innermost = static_cast<int>(part * plan.part);
#pragma unroll 1
  for (int i = plan.covered + 1; i < plan.reduced_rank; ++i) {
    std::int64_t index = further;
    if (i + 1 < plan.reduced_rank) further = divide(index, plan.reduced[i]);
    offset.move(plan.reduced[i], index);
  }
  return offset;
}

/// The offset of a way, and the steps in which it has an element.
struct Way {
  Offset offset;
  std::int64_t steps;

  __device__ Way(const ReducePlan& plan, int way) : steps(plan.steps) {
#pragma unroll 1
    for (int i = 0; i < plan.covered; ++i) {
      const int size = static_cast<int>(plan.reduced[i].size);
      if (i == 0) offset.innermost = way % size;
      offset.move(plan.reduced[i], way % size);
      way /= size;
    }
    if (plan.covered == plan.reduced_rank) return;
    if (plan.covered == 0) offset.innermost = way;
    offset.move(plan.reduced[plan.covered], way);
    if (way >= plan.last_part) steps = plan.whole_steps;
  }
};

/// The place of a thread in its block.
struct Seat {
  int column, way, outer;

  __device__ explicit Seat(const ReducePlan& plan) {
    const int thread = static_cast<int>(threadIdx.x);
    if (plan.ways_are_neighbours) {
      // A power of two, and divisions take their time where there is little else to do.
      column = 0;
      way = thread & (plan.ways - 1);
      outer = thread >> __popc(plan.ways - 1);
      return;
    }
    column = thread % plan.inner;
    way = thread / plan.inner % plan.ways;
    outer = thread / plan.inner / plan.ways;
  }
};

/// The outputs of a thread in a tile: `lanes` of them, none past the last.
struct Output {
  Place place;  ///< of the first
  int lanes = 0;

  __device__ Output(const ReducePlan& plan, std::int64_t tile, int column, int outer) {
    std::int64_t inner_tile = 0, number = tile;
    if (plan.inner_tiles > 1) {
      inner_tile = tile;
      number = divide(inner_tile, plan.inner_tiles);
    }
    number = number * plan.outer + outer;
    if (outer >= plan.outer || number >= plan.outer_count) return;
    place = place_of(plan, plan.by_columns ? 1 : 0, plan.kept_rank, number);
    lanes = plan.lanes;
    if (!plan.by_columns) return;
    std::int64_t at = inner_tile * plan.inner + column;
    if (plan.regime == Regime::columns) {
      // The last of a warp has only a vector of which its neighbour needs some.
      at -= inner_tile * (plan.inner / kWarp) + column / kWarp;
      if (column % kWarp == kWarp - 1) lanes = 0;
    }
    place.move(plan.kept[0], at);
    const std::int64_t left = plan.kept[0].size - at;
    if (left <= 0) lanes = 0;
    if (left == 1 && lanes > plan.last_lanes) lanes = plan.last_lanes;
  }
};

/// A thread's part of a unit, which is a split of a tile.
struct Unit {
  std::int64_t tile;
  std::int64_t split = 0;
  std::int64_t first;  ///< step

  __device__ Unit(const ReducePlan& plan, std::int64_t unit) : tile(unit) {
    if (plan.splits > 1) {
      split = unit;
      tile = divide(split, plan.splits);
    }
    first = split * plan.split_size;
  }

  /// Of a way that has so many in all splits.
  __device__ std::int64_t steps(const ReducePlan& plan, std::int64_t way_steps) const {
    const std::int64_t end = first + plan.split_size < way_steps ? first + plan.split_size : way_steps;
    return end > first ? end - first : 0;
  }
};

}  // namespace millrace::cuda
