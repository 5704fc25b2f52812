#include "stats_plan.h"

#include <algorithm>

namespace millrace::tool {
namespace {

constexpr std::uint64_t kGranule = std::uint64_t{2} << 20;
/// Small enough that what was just copied is still in the cache when it is reduced, large enough that
/// the wait for a batch is nothing beside it.
constexpr std::uint64_t kLargestBuffer = kGranule;

constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t to) {
  return value / to * to;
}
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
  return round_down(value + to - 1, to);
}

/// Puts pieces into batches as they come.
class Planner {
 public:
  explicit Planner(BatchLimits limits) : limits_(limits) {}

  void add(std::size_t file, std::size_t tensor, const TensorEntry& entry) {
    const std::uint64_t element = size_of(entry.dtype);
    const std::uint64_t largest = round_down(limits_.bytes, element);
    for (std::uint64_t done = 0; done < entry.bytes;) {
      const std::uint64_t bytes = std::min(largest, entry.bytes - done);
      place(file, {tensor, entry.offset + done, bytes, 0});
      done += bytes;
    }
  }

  StatsPlan take() { return std::move(plan_); }

 private:
  void place(std::size_t file, Piece piece) {
    const bool fits = !plan_.batches.empty() && plan_.batches.back().file == file &&
                      plan_.batches.back().pieces < limits_.pieces && used_ + piece.bytes <= limits_.bytes;
    if (!fits) {
      plan_.batches.push_back({file, plan_.pieces.size(), 0, 0});
      used_ = 0;
    }
    piece.place = used_;
    used_ = round_up(used_ + piece.bytes, kPieceAlignment);
    plan_.buffer_bytes = std::max(plan_.buffer_bytes, used_);
    plan_.bytes += piece.bytes;
    Batch& batch = plan_.batches.back();
    ++batch.pieces;
    batch.bytes += piece.bytes;
    plan_.pieces.push_back(piece);
  }

  BatchLimits limits_;
  StatsPlan plan_;
  std::uint64_t used_ = 0;
};

}  // namespace

StatsPlan plan_stats(const std::vector<TensorFile>& files, BatchLimits limits) {
  limits.bytes = round_down(limits.bytes, kPieceAlignment);
  Planner planner(limits);
  std::size_t tensor = 0;
  for (std::size_t file = 0; file < files.size(); ++file) {
    for (const TensorEntry& entry : files[file].tensors) {
      if (!entry.deflated) planner.add(file, tensor, entry);
      ++tensor;
    }
  }
  return planner.take();
}

WorkerBudget budget_workers(std::uint64_t memory_limit, int threads, std::uint64_t results_bytes) {
  const std::uint64_t most = std::max<std::uint64_t>(memory_limit / (2 * kGranule), 1);
  WorkerBudget budget;
  budget.threads = static_cast<int>(std::min<std::uint64_t>(static_cast<std::uint64_t>(threads), most));
  const std::uint64_t share = memory_limit / static_cast<std::uint64_t>(budget.threads);
  // Below two granules one worker takes half of what there is.
  const std::uint64_t room = share >= 2 * kGranule ? round_down(share, kGranule) - kGranule : share / 2;
  const std::uint64_t buffer = std::min(room, kLargestBuffer);
  budget.buffer_bytes = buffer > results_bytes + kPieceAlignment ? buffer - results_bytes : kPieceAlignment;
  return budget;
}

}  // namespace millrace::tool
