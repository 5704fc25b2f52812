// Which threads share an output.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// Threads along `columns` neighbouring outputs, at most `most`: as many as leave few of the block idle.
int width_of(std::int64_t columns, std::int64_t most, std::int64_t least) noexcept;

/// Lets the ways go through `part` iterations of the first loop that they do not cover.
void take_part(ReducePlan& plan, std::int64_t part) noexcept;

/// How the ways of an output go through its loops: through the first ones where memory has them next, then
/// through more of them where there are threads to spare.
void cut_ways(ReducePlan& plan, std::int64_t load_bytes) noexcept;

}  // namespace millrace::cuda
