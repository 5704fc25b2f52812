#include "stats_pipeline.h"

#include <algorithm>
#include <utility>

namespace millrace::tool {
namespace {

constexpr std::uint64_t kGranule = std::uint64_t{2} << 20;

/// Large enough that beginning a copy, 2 us of the 38 that this much takes on PCIe 5, is little; small enough
/// that all that is underway stays in the processors' caches between reading and copying.
constexpr std::uint64_t kPipelinedBytes = std::uint64_t{2} << 20;
/// One is read, one copied, one reduced.
constexpr int kMostPlaces = 3;
constexpr int kLeastPlaces = 2;
/// For what a split reduction leaves between its steps.
constexpr std::uint64_t kScratch = kGranule;

constexpr std::uint64_t device_bytes(int places) {
  static_assert(kPipelinedBytes % kGranule == 0);
  return static_cast<std::uint64_t>(places) * kPipelinedBytes + kScratch;
}

}  // namespace

PipelineShape fit_pipeline(std::uint64_t memory_limit, int workers) {
  for (int places = kMostPlaces; places >= kLeastPlaces; --places) {
    if (static_cast<std::uint64_t>(workers) * device_bytes(places) <= memory_limit)
      return {workers, places, kPipelinedBytes};
  }
  const std::uint64_t fitting = memory_limit / device_bytes(kLeastPlaces);
  if (fitting > 0) return {static_cast<int>(fitting), kLeastPlaces, kPipelinedBytes};
  return {};
}

StatsPipeline::StatsPipeline(const Device& device, Stream stream, int places, const Work& work, Done done)
    : work_(work), done_(std::move(done)), stream_(stream), places_(static_cast<std::size_t>(places)) {
  Device owner = device;
  const auto results = static_cast<std::size_t>(results_bytes(work_.plan));
  const auto elements = static_cast<std::size_t>(work_.plan.buffer_bytes);
  pinned_ = owner.pinned_buffer(stream, places_.size() * (results + elements));
  elements_ = owner.buffer(stream, places_.size() * elements);
  for (std::size_t p = 0; p < places_.size(); ++p) {
    std::byte* const pinned = pinned_.as<std::byte>() + p * (results + elements);
    places_[p].results = reinterpret_cast<Statistics*>(pinned);
    places_[p].host = pinned + results;
    places_[p].device = elements_.as<std::byte>() + p * elements;
  }
}

void StatsPipeline::add(std::size_t batch) {
  Place& place = places_[next_];
  next_ = (next_ + 1) % places_.size();
  retire(place);
  const Batch& wanted = work_.plan.batches[batch];
  read(wanted, place.host);
  const Piece* const pieces = work_.plan.pieces.data() + wanted.first_piece;
  const Piece& last = pieces[wanted.pieces - 1];
  stream_.copy(place.device, place.host, static_cast<std::size_t>(last.place + last.bytes));
  for (std::size_t p = 0; p < wanted.pieces; ++p) {
    record_statistics(stream_, pieces[p], work_.dtypes[pieces[p].tensor], place.device + pieces[p].place,
                      place.results + pieces[p].result);
  }
  place.batch = batch;
  place.underway = stream_.commit();
}

void StatsPipeline::read(const Batch& batch, std::byte* to) {
  if (!opened_ || file_ != batch.file) {
    opened_ = work_.files.get(batch.file);
    file_ = batch.file;
  }
  for (std::size_t p = batch.first_piece; p < batch.first_piece + batch.pieces; ++p) {
    const Piece& piece = work_.plan.pieces[p];
    opened_->read(piece.offset, {to + piece.place, static_cast<std::size_t>(piece.bytes)});
  }
}

void StatsPipeline::retire(Place& place) {
  if (!place.underway.valid()) return;
  place.underway.wait();
  place.underway = CommandBuffer();
  const std::size_t count = work_.plan.batches[place.batch].results;
  done_(place.batch, std::vector<Statistics>(place.results, place.results + count));
}

void StatsPipeline::finish() {
  for (std::size_t p = 0; p < places_.size(); ++p) {
    retire(places_[next_]);
    next_ = (next_ + 1) % places_.size();
  }
}

}  // namespace millrace::tool
