#include "stats_run.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "crew.h"
#include "in_order.h"
#include "read_ahead.h"
#include "shared_files.h"
#include "stats_deflated.h"
#include "stats_pipeline.h"
#include "stats_plan.h"
#include "stats_reader.h"

namespace millrace::tool {
namespace {

/// How many batches' results may wait for one that takes longer.
constexpr std::size_t kResultsWaiting = 64;

/// One run: workers take batches, the collector gets what they find, in order.
class Job {
 public:
  /// places: batches of each worker on their way; 0 where the device reads mapped files.
  Job(const Device& device, const std::vector<TensorFile>& files, const StatsPlan& plan,
      StatsCollector& collector, int threads, int places)
      : device_(device),
        plan_(plan),
        dtypes_(dtypes_of(files)),
        places_(places),
        mappings_(files),
        opened_(files),
        read_ahead_(ranges_of(plan), mappings_, threads),
        deflated_(plan, files, mappings_),
        collector_(collector),
        crew_(plan.batches.size()),
        // Each worker has batches on their way when it hands over one that all others may wait for.
        results_(std::max(kResultsWaiting, static_cast<std::size_t>(2 * threads * places)),
                 [&collector](std::size_t batch, const Found& found) { collector.add(batch, found); }) {}

  void run(int threads, bool show_progress) {
    crew_.run(
        threads, plan_.bytes, show_progress,
        {[this] { places_ > 0 ? work_through_copies() : work_in_place(); }, [this] { results_.stop(); }});
  }

  std::uint64_t done_bytes() const { return crew_.done_bytes(); }

 private:
  using Found = std::vector<Statistics>;

  void work_in_place() {
    const Stream stream = device_.stream();
    const Buffer results = device_.pinned_buffer(stream, static_cast<std::size_t>(results_bytes(plan_)));
    const Buffer copies = device_.buffer(stream, static_cast<std::size_t>(plan_.buffer_bytes));
    unpack({.stream = stream, .results = results.as<Statistics>()});
    for (std::size_t b = crew_.take(); b < crew_.jobs(); b = crew_.take()) {
      read_ahead_.advance(b);
      hand_over(b, measure(plan_.batches[b], stream, results.as<Statistics>(), copies.as<std::byte>()));
    }
  }

  void work_through_copies() {
    const Stream stream = device_.stream();
    StatsPipeline pipeline(device_, stream, places_, {plan_, dtypes_, opened_},
                           [this](std::size_t b, Found found) { hand_over(b, std::move(found)); });
    unpack({.stream = stream,
            .results = pipeline.results(),
            .host = pipeline.host(),
            .device = pipeline.device()});
    for (std::size_t b = crew_.take(); b < crew_.jobs(); b = crew_.take()) pipeline.add(b);
    pipeline.finish();
  }

  void hand_over(std::size_t batch, Found found) {
    results_.put(batch, std::move(found));
    crew_.done(plan_.batches[batch].bytes);
  }

  /// The deflated tensors, before all else: the last of them may take longest of all. They are not put in
  /// order: each is one worker's, and who waited for a long one would do nothing meanwhile.
  void unpack(DeflatedTensors::Worker worker) {
    worker.stop = [this] { return crew_.stopped(); };
    worker.done = [this](std::uint64_t bytes) { crew_.done(bytes); };
    worker.found = [this](std::size_t tensor, auto found) { collector_.set(tensor, std::move(found)); };
    deflated_.work(worker);
  }

  /// The statistics of each channel of each piece. Its wait runs the batch on this thread, so a second batch
  /// on its way would only wake workers of the device.
  Found measure(const Batch& batch, Stream stream, Statistics* results, std::byte* copies) {
    const BatchPages pages(mappings_, batch);
    for (std::size_t p = batch.first_piece; p < batch.first_piece + batch.pieces; ++p) {
      const Piece& piece = plan_.pieces[p];
      void* const elements = pages.bring(piece, stream, copies);
      record_statistics(stream, piece, dtypes_[piece.tensor], elements, results + piece.result);
    }
    stream.commit().wait();
    return {results, results + batch.results};
  }

  static std::vector<DType> dtypes_of(const std::vector<TensorFile>& files) {
    std::vector<DType> dtypes;
    for (const TensorFile& file : files) {
      for (const TensorEntry& entry : file.tensors) dtypes.push_back(entry.dtype);
    }
    return dtypes;
  }

  static std::vector<FileRange> ranges_of(const StatsPlan& plan) {
    std::vector<FileRange> ranges;
    for (const Batch& batch : plan.batches) ranges.push_back({batch.file, batch.offset, batch.bytes});
    return ranges;
  }

  Device device_;
  const StatsPlan& plan_;
  const std::vector<DType> dtypes_;  // one a tensor
  const int places_;
  SharedMappings mappings_;
  OpenedFiles opened_;
  ReadAhead read_ahead_;
  DeflatedTensors deflated_;
  StatsCollector& collector_;
  Crew crew_;
  InOrder<Found> results_;
};

std::vector<bool> known_of(const StatsOptions& options) {
  std::vector<bool> known;
  for (const auto& tensor : options.known) known.push_back(tensor.has_value());
  return known;
}

}  // namespace

StatsResult run_stats(const Device& device, const std::vector<TensorFile>& files,
                      const StatsOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const bool in_place = options.in_place && device.info().reads_host_memory;
  const std::uint64_t limit = device.memory().limit;
  const PipelineShape shape = in_place ? PipelineShape{.workers = options.threads, .places = 0}
                                       : fit_pipeline(limit, options.threads);
  const StatsPlan plan = plan_stats(
      files, {in_place, options.channel_dim, known_of(options), shape.workers, shape.copied_bytes});
  StatsCollector collector(plan, options.known);
  StatsResult result;
  // More workers than parts would only allocate.
  const std::size_t parts = std::max<std::size_t>(plan.batches.size() + plan.deflated.size(), 1);
  const int fitting = in_place ? fitting_workers(limit, shape.workers, plan.buffer_bytes) : shape.workers;
  result.threads = static_cast<int>(std::min<std::size_t>(parts, static_cast<std::size_t>(fitting)));
  Job job(device, files, plan, collector, result.threads, shape.places);
  job.run(result.threads, options.show_progress);
  result.tensors = collector.take();
  result.splits = plan.splits;
  result.bytes = job.done_bytes();
  result.interrupted = std::ranges::any_of(result.tensors, [](const auto& t) { return !t.has_value(); });
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace millrace::tool
