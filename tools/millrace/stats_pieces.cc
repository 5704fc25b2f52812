#include "stats_pieces.h"

#include <algorithm>
#include <array>

#include <millrace/reduce.h>

namespace millrace::tool {
namespace {

/// The largest size that cuts a whole into as few parts as `most` does, all about the same.
constexpr std::uint64_t even_part(std::uint64_t whole, std::uint64_t most) {
  const std::uint64_t parts = (whole + most - 1) / most;
  return (whole + parts - 1) / parts;
}

constexpr std::array<std::int64_t, 2> kAllButChannels{0, 2};

}  // namespace

PieceCutter::PieceCutter(const TensorEntry& tensor, const Split& split)
    : split_(split), element_(size_of(tensor.dtype)), elements_(tensor.elements()) {
  if (elements_ == 0) return;
  const std::uint64_t most = kPieceBytes / element_;
  if (split.channels <= kPieceChannels && split.inner <= most / split.channels) {
    rows_ = most / (split.channels * split.inner);
  } else if (split.inner <= most) {
    channels_ = even_part(split.channels, std::min(most / split.inner, kPieceChannels));
    inner_ = split.inner;
  } else {
    inner_ = most;
  }
}

std::optional<Piece> PieceCutter::next() {
  if (at_ == elements_) return std::nullopt;
  Piece piece;
  piece.offset = at_ * element_;
  if (rows_ > 0) {
    piece.outer = std::min(rows_, split_.outer - at_ / (split_.channels * split_.inner));
    piece.channels = split_.channels;
    piece.inner = split_.inner;
  } else {
    piece.first_channel = at_ / split_.inner % split_.channels;
    piece.channels = std::min(channels_, split_.channels - piece.first_channel);
    piece.inner = std::min(inner_, split_.inner - at_ % split_.inner);
  }
  const std::uint64_t count = piece.outer * piece.channels * piece.inner;
  piece.bytes = count * element_;
  at_ += count;
  return piece;
}

void record_statistics(Stream stream, const Piece& piece, DType dtype, void* elements, Statistics* results) {
  const Dims shape{static_cast<std::int64_t>(piece.outer), static_cast<std::int64_t>(piece.channels),
                   static_cast<std::int64_t>(piece.inner)};
  statistics(stream, contiguous(elements, dtype, shape), results, kAllButChannels);
}

}  // namespace millrace::tool
