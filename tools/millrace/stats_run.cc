#include "stats_run.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "crew.h"
#include "in_order.h"
#include "read_ahead.h"
#include "shared_mappings.h"
#include "stats_deflated.h"
#include "stats_plan.h"
#include "stats_reader.h"

namespace millrace::tool {
namespace {

/// How many batches' results may wait for one that takes longer.
constexpr std::size_t kResultsWaiting = 64;

/// One run: workers take batches, the collector gets what they find, in order.
class Job {
 public:
  Job(const Device& device, const std::vector<TensorFile>& files, const StatsPlan& plan,
      StatsCollector& collector, int threads, std::size_t flights, bool in_place)
      : device_(device),
        flights_(flights),
        plan_(plan),
        dtypes_(dtypes_of(files)),
        mappings_(files),
        read_ahead_(ranges_of(plan), mappings_, threads),
        deflated_(plan, files, mappings_, in_place),
        collector_(collector),
        crew_(plan.batches.size()),
        results_(kResultsWaiting,
                 [&collector](std::size_t batch, const Found& found) { collector.add(batch, found); }) {}

  void run(int threads, bool show_progress) {
    crew_.run(threads, plan_.bytes, show_progress, {[this] { work(); }, [this] { results_.stop(); }});
  }

  std::uint64_t done_bytes() const { return crew_.done_bytes(); }

 private:
  using Found = std::vector<Statistics>;

  /// A batch on its way through the device.
  class Flight {
   public:
    Flight(Job& job, std::size_t batch, Stream stream, std::byte* memory)
        : batch_(batch),
          pages_(job.mappings_, job.plan_.batches[batch]),
          found_(job.plan_.batches[batch].results) {
      job.record(job.plan_.batches[batch], pages_, stream, memory);
      stream.copy(found_.data(), memory, found_.size() * sizeof(Statistics));
      committed_ = stream.commit();
    }
    Flight(const Flight&) = delete;
    Flight& operator=(const Flight&) = delete;
    /// The device may still be reading the pages and writing what was found.
    ~Flight() {
      try {
        committed_.wait();
      } catch (const Error&) {
        // Told by land, or another failure is on its way.
      }
    }

    std::size_t batch() const { return batch_; }
    Found land() {
      committed_.wait();
      return std::move(found_);
    }

   private:
    const std::size_t batch_;
    const BatchPages pages_;
    Found found_;
    CommandBuffer committed_;
  };

  // Two batches in turn where there is memory for them: while one is reduced, the pages of the next are
  // mapped and those of the last one unmapped, and the device does not wait for this thread to wake up.
  void work() {
    const Stream stream = device_.stream();
    const Buffer buffer = device_.buffer(stream, flights_ * worker_bytes(plan_));
    unpack(stream, buffer);
    std::unique_ptr<Flight> before;
    std::size_t turn = 0;
    for (std::size_t b = crew_.take(); b < crew_.jobs(); b = crew_.take()) {
      read_ahead_.advance(b);
      if (flights_ == 1) land(before);
      auto now =
          std::make_unique<Flight>(*this, b, stream, buffer.as<std::byte>() + turn * worker_bytes(plan_));
      turn = (turn + 1) % flights_;
      land(before);
      before = std::move(now);
    }
    land(before);
  }

  /// Empties it, if there is one.
  void land(std::unique_ptr<Flight>& flight) {
    if (!flight) return;
    Found found = flight->land();
    const std::size_t batch = flight->batch();
    flight.reset();
    results_.put(batch, std::move(found));
    crew_.done(plan_.batches[batch].bytes);
  }

  /// The deflated tensors, before all else: the last of them may take longest of all. They are not put in
  /// order: each is one worker's, and who waited for a long one would do nothing meanwhile.
  void unpack(Stream stream, const Buffer& buffer) {
    deflated_.work(
        {.stream = stream,
         .results = buffer.as<Statistics>(),
         .place = buffer.as<std::byte>() + results_bytes(plan_),
         .stop = [this] { return crew_.stopped(); },
         .done = [this](std::uint64_t bytes) { crew_.done(bytes); },
         .found = [this](std::size_t tensor, auto found) { collector_.set(tensor, std::move(found)); }});
  }

  /// The statistics of each channel of each piece. memory: worker_bytes, the results first.
  void record(const Batch& batch, const BatchPages& pages, Stream stream, std::byte* memory) const {
    auto* const results = reinterpret_cast<Statistics*>(memory);
    for (std::size_t p = batch.first_piece; p < batch.first_piece + batch.pieces; ++p) {
      const Piece& piece = plan_.pieces[p];
      void* const elements = pages.bring(piece, stream, memory + results_bytes(plan_));
      record_statistics(stream, piece, dtypes_[piece.tensor], elements, results + piece.result);
    }
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
  const std::size_t flights_;  // batches that a worker has on their way
  const StatsPlan& plan_;
  const std::vector<DType> dtypes_;  // one a tensor
  SharedMappings mappings_;
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
  const StatsPlan plan =
      plan_stats(files, {in_place, options.channel_dim, known_of(options), options.threads});
  StatsCollector collector(plan, options.known);
  StatsResult result;
  const std::uint64_t limit = device.memory().limit;
  const std::size_t flights = fitting_flights(limit, worker_bytes(plan));
  // More workers than parts would only allocate.
  const std::size_t parts = std::max<std::size_t>(plan.batches.size() + plan.deflated.size(), 1);
  result.threads = static_cast<int>(std::min<std::size_t>(
      parts,
      static_cast<std::size_t>(fitting_workers(limit, options.threads, flights * worker_bytes(plan)))));
  Job job(device, files, plan, collector, result.threads, flights, in_place);
  job.run(result.threads, options.show_progress);
  result.tensors = collector.take();
  result.splits = plan.splits;
  result.bytes = job.done_bytes();
  result.interrupted = std::ranges::any_of(result.tensors, [](const auto& t) { return !t.has_value(); });
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace millrace::tool
