#include "stats_plan.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <millrace/reduction.h>

namespace millrace::tool {
namespace {

constexpr std::uint64_t kGranule = std::uint64_t{2} << 20;
constexpr std::size_t kPiecesPerBatch = 64;
constexpr std::uint64_t kBatchesPerWorker = 8;  // so that all end at about the same time
static_assert(kCopiedBytes <= kGranule);

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

/// Puts pieces into batches as they come.
class Planner {
 public:
  Planner(const PlanOptions& options, std::uint64_t bytes)
      : options_(options),
        batch_bytes_(std::clamp(bytes / (kBatchesPerWorker * static_cast<std::uint64_t>(options.workers)),
                                kPieceBytes, kBatchBytes)) {}

  void add(std::size_t file, const TensorEntry& entry) {
    const std::size_t tensor = plan_.splits.size();
    plan_.splits.push_back(split_tensor(entry, options_.channel_dim));
    const bool skipped = tensor < options_.skip.size() && options_.skip[tensor];
    if (entry.bytes == 0 || skipped) return;
    plan_.bytes += entry.bytes;
    if (entry.deflated) {
      add_deflated(file, tensor, entry);
      return;
    }
    PieceCutter cutter(entry, plan_.splits.back());
    while (std::optional<Piece> piece = cutter.next()) {
      piece->tensor = tensor;
      piece->offset += entry.offset;
      // A header of any length may come first, and operations want their elements aligned.
      piece->in_place = options_.in_place && entry.offset % size_of(entry.dtype) == 0;
      place(file, *piece);
    }
  }

  StatsPlan take() {
    std::ranges::stable_sort(plan_.deflated, std::ranges::greater{},
                             [](const DeflatedTensor& t) { return t.entry->bytes; });
    return std::move(plan_);
  }

 private:
  void add_deflated(std::size_t file, std::size_t tensor, const TensorEntry& entry) {
    plan_.deflated.push_back({file, tensor, &entry});
    const std::optional<Piece> largest = PieceCutter(entry, plan_.splits.back()).next();
    plan_.results = std::max<std::size_t>(plan_.results, largest->channels);
    if (!options_.in_place)
      plan_.buffer_bytes = std::max(plan_.buffer_bytes, round_up(largest->bytes, kPieceAlignment));
  }

  void place(std::size_t file, Piece piece) {
    const auto fits = [&](const Batch& batch) {
      return batch.file == file && batch.pieces < kPiecesPerBatch &&
             batch.offset + batch.bytes == piece.offset && batch.bytes + piece.bytes <= batch_bytes_ &&
             batch.results + piece.channels <= kPieceChannels &&
             (piece.in_place || used_ + piece.bytes <= options_.copied_bytes);
    };
    if (plan_.batches.empty() || !fits(plan_.batches.back())) {
      plan_.batches.push_back({file, plan_.pieces.size(), 0, piece.offset, 0, 0});
      used_ = 0;
    }
    Batch& batch = plan_.batches.back();
    piece.result = batch.results;
    if (!piece.in_place) {
      piece.place = used_;
      used_ = round_up(used_ + piece.bytes, kPieceAlignment);
      plan_.buffer_bytes = std::max(plan_.buffer_bytes, used_);
    }
    ++batch.pieces;
    batch.bytes += piece.bytes;
    batch.results += piece.channels;
    plan_.results = std::max(plan_.results, batch.results);
    plan_.pieces.push_back(piece);
  }

  const PlanOptions& options_;
  const std::uint64_t batch_bytes_;
  StatsPlan plan_;
  std::uint64_t used_ = 0;  // of the last batch's buffer
};

}  // namespace

StatsPlan plan_stats(const std::vector<TensorFile>& files, const PlanOptions& options) {
  std::uint64_t bytes = 0;
  for (const TensorFile& file : files) {
    for (const TensorEntry& entry : file.tensors) bytes += entry.bytes;
  }
  Planner planner(options, bytes);
  for (std::size_t file = 0; file < files.size(); ++file) {
    for (const TensorEntry& entry : files[file].tensors) planner.add(file, entry);
  }
  return planner.take();
}

std::uint64_t results_bytes(const StatsPlan& plan) {
  return round_up(plan.results * sizeof(Statistics), kPieceAlignment);
}

int fitting_workers(std::uint64_t memory_limit, int threads, std::uint64_t bytes_each) {
  const std::uint64_t fitting = memory_limit / round_up(std::max<std::uint64_t>(bytes_each, 1), kGranule);
  return static_cast<int>(std::clamp<std::uint64_t>(fitting, 1, static_cast<std::uint64_t>(threads)));
}

}  // namespace millrace::tool
