#include "stats_collect.h"

#include <algorithm>

namespace millrace::tool {

void TensorFold::add(const Piece& piece, const Statistics* found) {
  const auto first = static_cast<std::size_t>(piece.first_channel);
  const auto count = static_cast<std::size_t>(piece.channels);
  channels_.resize(std::max(channels_.size(), first + count));
  for (std::size_t c = 0; c < count; ++c) channels_[first + c] = combine(channels_[first + c], found[c]);
}

TensorStatistics TensorFold::take(const Split& split) {
  TensorStatistics tensor;
  for (const Statistics& channel : channels_) tensor.all = combine(tensor.all, channel);
  if (split.kind == SplitKind::channels) tensor.channels = std::move(channels_);
  channels_.clear();
  return tensor;
}

StatsCollector::StatsCollector(const StatsPlan& plan, std::vector<std::optional<TensorStatistics>> known)
    : plan_(plan), tensors_(std::move(known)) {
  tensors_.resize(plan.splits.size());
  std::vector<bool> has_elements(tensors_.size(), false);
  for (const Piece& piece : plan.pieces) has_elements[piece.tensor] = true;
  for (const DeflatedTensor& deflated : plan.deflated) has_elements[deflated.tensor] = true;
  for (std::size_t t = 0; t < tensors_.size(); ++t) {
    if (!has_elements[t] && !tensors_[t]) tensors_[t] = TensorStatistics();
  }
}

void StatsCollector::add(std::size_t batch, const std::vector<Statistics>& found) {
  const std::size_t begin = plan_.batches[batch].first_piece;
  for (std::size_t p = begin; p < begin + plan_.batches[batch].pieces; ++p) {
    const Piece& piece = plan_.pieces[p];
    fold_.add(piece, found.data() + piece.result);
    const bool last = p + 1 == plan_.pieces.size() || plan_.pieces[p + 1].tensor != piece.tensor;
    if (last) tensors_[piece.tensor] = fold_.take(plan_.splits[piece.tensor]);
  }
}

}  // namespace millrace::tool
