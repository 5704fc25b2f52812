#include "stats_run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "formats/mapped_file.h"
#include "interrupt.h"
#include "progress.h"
#include "stats_deflated.h"
#include "stats_plan.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kPiecesPerBatch = 64;
constexpr std::uint64_t kResultsBytes =
    (kPiecesPerBatch * sizeof(Statistics) + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
constexpr std::chrono::milliseconds kProgressInterval{100};

/// What the workers share. Every batch is taken by one worker, which alone writes its pieces' results;
/// the joins hand them over.
class Job {
 public:
  Job(const Device& device, const std::vector<TensorFile>& files, BatchLimits limits)
      : device_(device),
        files_(files),
        plan_(plan_stats(files, limits)),
        deflated_(files),
        buffer_bytes_(std::max(plan_.buffer_bytes, deflated_.buffer_bytes(limits.bytes))),
        results_(plan_.pieces.size()),
        done_(plan_.batches.size()) {}

  /// What workers can share: more of them than this would only allocate.
  std::size_t parts() const { return plan_.batches.size() + deflated_.size(); }

  void run(int threads, bool show_progress) {
    Progress progress(plan_.bytes + deflated_.bytes(), show_progress);
    std::vector<std::thread> workers;
    workers.reserve(static_cast<std::size_t>(threads));
    running_ = threads;
    for (int i = 0; i < threads; ++i) {
      workers.emplace_back([this] { work(); });
    }
    {
      std::unique_lock lock(mutex_);
      while (!ended_.wait_for(lock, kProgressInterval, [this] { return running_ == 0; })) {
        progress.show(done_bytes_.load(std::memory_order_relaxed));
      }
    }
    for (std::thread& worker : workers) worker.join();
    if (failure_) std::rethrow_exception(failure_);
  }

  std::uint64_t done_bytes() const { return done_bytes_.load(std::memory_order_relaxed); }

  /// After run: the pieces of each tensor put together, in their order.
  std::vector<std::optional<Statistics>> combined(std::size_t tensors) const {
    std::vector<std::optional<Statistics>> combined(tensors);
    std::vector<bool> incomplete(tensors, false);
    for (std::size_t b = 0; b < plan_.batches.size(); ++b) {
      const Batch& batch = plan_.batches[b];
      for (std::size_t p = batch.first_piece; p < batch.first_piece + batch.pieces; ++p) {
        std::optional<Statistics>& tensor = combined[plan_.pieces[p].tensor];
        if (!done_[b]) incomplete[plan_.pieces[p].tensor] = true;
        tensor = tensor ? combine(*tensor, results_[p]) : results_[p];
      }
    }
    for (std::size_t t = 0; t < tensors; ++t) {
      if (incomplete[t]) {
        combined[t].reset();
      } else if (!combined[t]) {
        combined[t] = Statistics{};  // no elements, so no pieces
      }
    }
    deflated_.put_into(combined);
    return combined;
  }

 private:
  /// Takes batches until there are none; whatever goes wrong ends all workers.
  void work() {
    try {
      const Stream stream = device_.stream();
      const Buffer buffer = device_.buffer(stream, kResultsBytes + buffer_bytes_);
      unpack(stream, buffer);
      std::vector<Statistics> host(kPiecesPerBatch);
      std::unique_ptr<MappedFile> file;
      std::size_t mapped = files_.size();
      for (std::size_t b = take(); b < plan_.batches.size(); b = take()) {
        const Batch& batch = plan_.batches[b];
        if (mapped != batch.file) {
          file = std::make_unique<MappedFile>(files_[batch.file].path, files_[batch.file].identity);
          mapped = batch.file;
        }
        measure(batch, *file, stream, buffer, host);
        done_[b] = 1;
        done_bytes_.fetch_add(batch.bytes, std::memory_order_relaxed);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      stop_.store(true, std::memory_order_relaxed);
    }
    const std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  }

  /// The deflated tensors, before all else: the last of them may take longest of all.
  void unpack(Stream stream, const Buffer& buffer) {
    deflated_.work(
        {.stream = stream,
         .place = buffer.as<std::byte>() + kResultsBytes,
         .place_bytes = buffer_bytes_,
         .result = buffer.as<Statistics>(),
         .stop = [this] { return stopped(); },
         .done = [this](std::uint64_t bytes) { done_bytes_.fetch_add(bytes, std::memory_order_relaxed); }});
  }

  bool stopped() const { return interrupted() || stop_.load(std::memory_order_relaxed); }

  std::size_t take() {
    if (stopped()) return plan_.batches.size();
    return next_.fetch_add(1, std::memory_order_relaxed);
  }

  void measure(const Batch& batch, const MappedFile& file, Stream stream, const Buffer& buffer,
               std::vector<Statistics>& host) {
    const Piece* const pieces = plan_.pieces.data() + batch.first_piece;
    file.will_need(pieces[0].offset, batch.bytes);
    auto* const results = buffer.as<Statistics>();
    for (std::size_t i = 0; i < batch.pieces; ++i) {
      const Piece& piece = pieces[i];
      std::byte* const place = buffer.as<std::byte>() + kResultsBytes + piece.place;
      stream.copy(place, file.bytes().data() + piece.offset, piece.bytes);
      const DType dtype = entry_of_[piece.tensor]->dtype;
      const auto elements = static_cast<std::int64_t>(piece.bytes / size_of(dtype));
      statistics(stream, contiguous(place, dtype, {elements}), results + i);
    }
    stream.copy(host.data(), results, batch.pieces * sizeof(Statistics));
    stream.commit().wait();
    std::copy_n(host.begin(), batch.pieces,
                results_.begin() + static_cast<std::ptrdiff_t>(batch.first_piece));
  }

  static std::vector<const TensorEntry*> entries_of(const std::vector<TensorFile>& files) {
    std::vector<const TensorEntry*> entries;
    for (const TensorFile& file : files) {
      for (const TensorEntry& entry : file.tensors) entries.push_back(&entry);
    }
    return entries;
  }

  Device device_;
  const std::vector<TensorFile>& files_;
  const StatsPlan plan_;
  DeflatedTensors deflated_;
  const std::uint64_t buffer_bytes_;  // a worker's, for pieces
  const std::vector<const TensorEntry*> entry_of_ = entries_of(files_);
  std::vector<Statistics> results_;  // one a piece
  std::vector<char> done_;           // one a batch
  // relaxed throughout: batches are independent, and results are handed over by the joins.
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint64_t> done_bytes_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;               // protects what follows
  std::condition_variable ended_;  // running_ changed
  int running_ = 0;
  std::exception_ptr failure_;
};

}  // namespace

StatsResult run_stats(const Device& device, const std::vector<TensorFile>& files, int threads,
                      bool show_progress) {
  const auto start = std::chrono::steady_clock::now();
  const WorkerBudget budget = budget_workers(device.memory().limit, threads, kResultsBytes);
  Job job(device, files, {budget.buffer_bytes, kPiecesPerBatch});
  StatsResult result;
  result.threads = std::clamp(budget.threads, 1, static_cast<int>(std::max<std::size_t>(job.parts(), 1)));
  job.run(result.threads, show_progress);
  std::size_t tensors = 0;
  for (const TensorFile& file : files) tensors += file.tensors.size();
  result.tensors = job.combined(tensors);
  result.bytes = job.done_bytes();
  result.interrupted = std::ranges::any_of(result.tensors, [](const auto& t) { return !t.has_value(); });
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace millrace::tool
