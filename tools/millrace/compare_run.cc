#include "compare_run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "compare_side.h"
#include "crew.h"
#include "in_order.h"

namespace millrace::tool {
namespace {

/// Of the wider of the two types.
constexpr std::uint64_t kPieceBytes = std::uint64_t{1} << 20;
/// How many pieces' results may wait for one that takes longer.
constexpr std::size_t kResultsWaiting = 64;

std::uint64_t piece_elements(const TensorPair& pair) {
  return kPieceBytes / std::max(size_of(pair.first.entry->dtype), size_of(pair.second.entry->dtype));
}

/// Pieces of the pairs that any worker can begin anywhere in.
std::vector<ComparePiece> cut(const std::vector<TensorPair>& pairs) {
  std::vector<ComparePiece> pieces;
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    if (!pairs[p].comparable() || pairs[p].is_deflated()) continue;
    const std::uint64_t most = piece_elements(pairs[p]);
    const std::uint64_t elements = pairs[p].first.entry->elements();
    for (std::uint64_t begin = 0; begin < elements; begin += most) {
      const std::uint64_t count = std::min(most, elements - begin);
      pieces.push_back({p, begin, count, begin + count == elements});
    }
  }
  return pieces;
}

class Job {
 public:
  Job(const std::vector<TensorFile>& first, const std::vector<TensorFile>& second,
      const std::vector<TensorPair>& pairs, std::vector<ComparePiece> pieces, int threads)
      : pairs_(pairs),
        pieces_(std::move(pieces)),
        first_(first, pieces_, pairs, &TensorPair::first, threads),
        second_(second, pieces_, pairs, &TensorPair::second, threads),
        deflated_(deflated_of(pairs)),
        crew_(pieces_.size()),
        differences_(differences_of(pairs)),
        results_(kResultsWaiting, [this](std::size_t piece, const Difference& found) { add(piece, found); }) {
  }

  void run(int threads, bool show_progress) {
    std::uint64_t bytes = 0;
    for (const ComparePiece& piece : pieces_) bytes += bytes_of(piece);
    for (const std::size_t pair : deflated_)
      bytes += pairs_[pair].first.entry->bytes + pairs_[pair].second.entry->bytes;
    crew_.run(threads, bytes, show_progress, {[this] { work(); }, [this] { results_.stop(); }});
  }

  std::uint64_t done_bytes() const { return crew_.done_bytes(); }
  std::vector<std::optional<Difference>> take() { return std::move(differences_); }

 private:
  /// Tensors without elements are equal, and need no work.
  static std::vector<std::optional<Difference>> differences_of(const std::vector<TensorPair>& pairs) {
    std::vector<std::optional<Difference>> differences(pairs.size());
    for (std::size_t p = 0; p < pairs.size(); ++p) {
      if (pairs[p].comparable() && pairs[p].first.entry->elements() == 0) {
        differences[p].emplace().identical = pairs[p].first.entry->dtype == pairs[p].second.entry->dtype;
      }
    }
    return differences;
  }

  static std::vector<std::size_t> deflated_of(const std::vector<TensorPair>& pairs) {
    std::vector<std::size_t> deflated;
    for (std::size_t p = 0; p < pairs.size(); ++p) {
      const bool is_one = pairs[p].comparable() && pairs[p].is_deflated();
      if (is_one && pairs[p].first.entry->elements() > 0) deflated.push_back(p);
    }
    // The last to begin decides when all of it is done.
    std::ranges::stable_sort(deflated, std::ranges::greater{},
                             [&](std::size_t p) { return pairs[p].first.entry->elements(); });
    return deflated;
  }

  std::uint64_t bytes_of(const ComparePiece& piece) const {
    const TensorPair& pair = pairs_[piece.pair];
    return piece.count * (size_of(pair.first.entry->dtype) + size_of(pair.second.entry->dtype));
  }

  void work() {
    SideReader first(first_);
    SideReader second(second_);
    while (!crew_.stopped()) {
      const std::size_t taken = next_deflated_.fetch_add(1, std::memory_order_relaxed);
      if (taken >= deflated_.size()) break;
      differences_[deflated_[taken]] = compare_deflated(deflated_[taken], first, second);
    }
    for (std::size_t p = crew_.take(); p < crew_.jobs(); p = crew_.take()) {
      first_.advance(p);
      second_.advance(p);
      const Difference found = compare(pieces_[p], first, second);
      results_.put(p, found);
    }
  }

  /// A pair that one worker does all of; nothing when stopped.
  std::optional<Difference> compare_deflated(std::size_t index, SideReader& first, SideReader& second) {
    const TensorPair& pair = pairs_[index];
    if (pair.first.entry->deflated) first.open_deflated(pair.first);
    if (pair.second.entry->deflated) second.open_deflated(pair.second);
    const std::uint64_t elements = pair.first.entry->elements();
    const std::uint64_t most = piece_elements(pair);
    Difference sum;
    for (std::uint64_t begin = 0; begin < elements; begin += most) {
      if (crew_.stopped()) return std::nullopt;
      const ComparePiece piece{index, begin, std::min(most, elements - begin)};
      const Difference found = compare(piece, first, second);
      sum = begin == 0 ? found : combine(sum, found);
    }
    return sum;
  }

  Difference compare(const ComparePiece& piece, SideReader& first, SideReader& second) {
    const TensorPair& pair = pairs_[piece.pair];
    // Counted in the first one's order, but for a second one that comes in its own order only.
    const bool turn_first = pair.orders_differ() && pair.second.entry->deflated.has_value();
    const bool turn_second = pair.orders_differ() && !turn_first;
    const std::byte* const x = first.begin(pair.first, piece, turn_first);
    const std::byte* const y = second.begin(pair.second, piece, turn_second);
    const Difference found = compare_elements(pair.first.entry->dtype, x, pair.second.entry->dtype, y,
                                              static_cast<std::size_t>(piece.count));
    first.end(pair.first, piece, turn_first);
    second.end(pair.second, piece, turn_second);
    crew_.done(bytes_of(piece));
    return found;
  }

  /// In the order of the pieces.
  void add(std::size_t p, const Difference& found) {
    const ComparePiece& piece = pieces_[p];
    sum_ = piece.begin == 0 ? found : combine(sum_, found);
    if (piece.last) differences_[piece.pair] = sum_;
  }

  const std::vector<TensorPair>& pairs_;
  const std::vector<ComparePiece> pieces_;
  CompareSide first_;
  CompareSide second_;
  const std::vector<std::size_t> deflated_;    // pairs, each compared by the worker that takes it
  std::atomic<std::size_t> next_deflated_{0};  // relaxed: pairs are independent
  Crew crew_;
  std::vector<std::optional<Difference>> differences_;  // each written once, by one thread
  Difference sum_;                                      // of the pair that the next piece belongs to
  InOrder<Difference> results_;
};

}  // namespace

CompareResult run_compare(const std::vector<TensorFile>& first, const std::vector<TensorFile>& second,
                          const std::vector<TensorPair>& pairs, int threads, bool show_progress) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<ComparePiece> pieces = cut(pairs);
  CompareResult result;
  const auto deflated = static_cast<std::size_t>(std::ranges::count_if(
      pairs, [](const TensorPair& pair) { return pair.comparable() && pair.is_deflated(); }));
  result.threads = static_cast<int>(
      std::clamp<std::size_t>(pieces.size() + deflated, 1, static_cast<std::size_t>(threads)));
  Job job(first, second, pairs, std::move(pieces), result.threads);
  job.run(result.threads, show_progress);
  result.bytes = job.done_bytes();
  result.differences = job.take();
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    if (pairs[p].comparable() && !result.differences[p]) result.interrupted = true;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace millrace::tool
