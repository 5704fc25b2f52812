#include "backends/cuda/reduce/cut_order.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "backends/cuda/reduce/measures.h"

namespace millrace::cuda {
namespace {

constexpr std::int64_t kWarp = 32;
// Results that follow each other at most.
constexpr std::int64_t kMostTogether = 16;
// Passes over lines that a warp reads in the time that a sector takes which it writes (H200: results of 2
// bytes written apart, 64 to 92 thousand million a second).
constexpr std::int64_t kWriteCost = 4;

/// How many outputs that follow each other in the output cost a warp least, of those that divide the loop.
std::int64_t best_together(const Loop& read, std::int64_t bytes, std::int64_t size, std::int64_t loads,
                           std::int64_t load_bytes) noexcept {
  // Threads whose loads are served together, and the lines that these are in where they are neighbours.
  const std::int64_t threads = kLineBytes / std::max<std::int64_t>(load_bytes, kLineBytes / kWarp);
  const std::int64_t lines = ceil_div(threads * std::abs(read.stride) * bytes, kLineBytes);
  const auto cost = [&](std::int64_t together) {
    const std::int64_t passes = std::min(threads, std::max(lines, together)) * (kWarp / threads);
    return loads * passes + kWriteCost * ceil_div(kWarp, together);
  };
  std::int64_t best = 1;
  for (std::int64_t together = 2; together <= std::min(size, kMostTogether); ++together) {
    if (size % together == 0 && cost(together) < cost(best)) best = together;
  }
  return best;
}

}  // namespace

void order_outputs(ReducePlan& plan, std::int64_t loads, std::int64_t load_bytes) noexcept {
  if (plan.kept_rank < 2) return;
  const std::int64_t result_bytes =
      is_position(plan) ? std::int64_t{sizeof(std::int64_t)} : element_bytes(plan);
  const auto is_near = [&](const Loop& loop) { return std::abs(loop.other) * result_bytes < kSectorBytes; };
  if (is_near(plan.kept[0])) return;
  Loop* const end = plan.kept + plan.kept_rank;
  Loop* const written = std::min_element(
      plan.kept, end, [](const Loop& a, const Loop& b) { return std::abs(a.other) < std::abs(b.other); });
  if (!is_near(*written)) return;
  const std::int64_t together =
      best_together(plan.kept[0], element_bytes(plan), written->size, loads, load_bytes);
  if (together == 1) return;
  const Loop first = {together, written->stride, written->other, 0, 0};
  if (together == written->size) {
    std::move_backward(plan.kept, written, written + 1);
  } else {
    if (plan.kept_rank == kMaxDims) return;
    // What is left of the loop stays where it is.
    *written = {written->size / together, written->stride * together, written->other * together, 0, 0};
    std::move_backward(plan.kept, end, end + 1);
    ++plan.kept_rank;
  }
  plan.kept[0] = first;
}

}  // namespace millrace::cuda
