#include "backends/host/reduce/engine.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>

namespace millrace::host {
namespace {

// Runs shorter than this are gathered, so that they are combined many at a time.
constexpr std::int64_t kShortRun = 512;
// Strided columns are gathered: rows of at most so many.
constexpr std::int64_t kGatheredColumns = 256;
// As many units as keep sixteen workers busy to the end.
constexpr std::int64_t kEnoughUnits = 64;
constexpr std::int64_t kPieceBytes = std::int64_t{1} << 20;
constexpr std::int64_t kMostUnits = 1024;
constexpr std::int64_t kLongPlace = std::int64_t{16} << 20;
// What is worth another thread, and what one thread takes at once.
constexpr std::int64_t kSpreadBytes = std::int64_t{512} << 10;
constexpr std::int64_t kGrainBytes = std::int64_t{128} << 10;

// Blocks that are worth being read in four places.
constexpr std::int64_t kWorthFour = 16;
constexpr std::size_t kLargestAccumulator = sizeof(Statistics);

constexpr std::size_t kAlignment = 64;

std::size_t aligned(std::size_t bytes) noexcept {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept {
  return (a + b - 1) / b;
}

/// Large sizes stop growing, so that what is derived from them does not overflow.
std::int64_t saturating(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::int64_t{1} << 62 : product;
}

template <typename Word>
void gather_words(const std::byte* from, std::int64_t n, std::int64_t stride, std::byte* to) noexcept {
  const auto* words = reinterpret_cast<const Word*>(from);
  auto* out = reinterpret_cast<Word*>(to);
  for (std::int64_t i = 0; i < n; ++i) out[i] = words[i * stride];
}

/// Copies n elements, stride apart, to dense memory.
void gather(const std::byte* from, std::int64_t n, std::int64_t stride, std::size_t element_bytes,
            std::byte* to) noexcept {
  if (stride == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(n) * element_bytes);
    return;
  }
  switch (element_bytes) {
    case 1: return gather_words<std::uint8_t>(from, n, stride, to);
    case 2: return gather_words<std::uint16_t>(from, n, stride, to);
    case 4: return gather_words<std::uint32_t>(from, n, stride, to);
    default: return gather_words<std::uint64_t>(from, n, stride, to);
  }
}

}  // namespace

Engine::Engine(const ReduceWork& work) : work_(work), reducer_(reducer_of(work)), run_(run_of(reducer_)) {
  classify();
  widen_columns();
  if (work_.reduced_count != 0) cut();
}

void Engine::classify() {
  const int kept = work_.kept.size();
  for (int i = 0; i + 1 < kept; ++i) {
    outer_.push_back(work_.kept[i]);
    outer_strides_.push_back(work_.kept_strides[i]);
    outer_output_strides_.push_back(work_.output_strides[i]);
  }
  if (kept > 0) {
    columns_ = work_.kept[kept - 1];
    stride_ = work_.kept_strides[kept - 1];
    output_stride_ = work_.output_strides[kept - 1];
  }
  // Rows come before runs in the order of positions too: once a loop is a run, all further ones are.
  bool outside = columns_ > 1 && stride_ > 0;
  for (int i = 0; i < work_.reduced.size(); ++i) {
    outside = outside && std::abs(work_.reduced_strides[i]) > stride_;
    (outside ? rows_ : runs_).add(work_.reduced[i], work_.reduced_strides[i]);
  }
  blocks_ = ceil_div(runs_.size, run_);
  short_runs_ = !runs_.outer.empty() && runs_.size < kShortRun;
}

// Columns inside of a dense reduced loop inside of a row: (n, c, h, w) over n and h. Taken one h at a time
// they would be short pieces of memory far apart, so the whole of h and w are columns, and those of
// neighbouring c.
void Engine::widen_columns() {
  if (work_.reduced_count == 0 || reducer_.shift != nullptr || !runs_.empty || stride_ != 1) return;
  if (rows_.outer.empty() || rows_.stride != columns_) return;
  const std::int64_t width = columns_ * rows_.size;
  if (width > kTileBytes / static_cast<std::int64_t>(reducer_.accumulator_bytes)) return;
  inner_ = rows_.size;
  group_ = width;
  rows_.pop();
  columns_ = width;
  const int last = outer_.size() - 1;
  if (last < 0 || outer_strides_[last] != width) return;
  columns_ *= outer_[last];
  group_output_stride_ = outer_output_strides_[last];
  const auto drop_last = [last](Dims& dims) {
    Dims fewer;
    for (int i = 0; i < last; ++i) fewer.push_back(dims[i]);
    dims = fewer;
  };
  drop_last(outer_);
  drop_last(outer_strides_);
  drop_last(outer_output_strides_);
}

void Engine::cut() {
  const auto accumulator = static_cast<std::int64_t>(reducer_.accumulator_bytes);
  const bool gathers_columns = !rows_.empty && runs_.empty && stride_ != 1;
  std::int64_t most_columns = std::max<std::int64_t>(kTileBytes / accumulator, 1);
  if (gathers_columns) most_columns = std::min(most_columns, kGatheredColumns);
  std::int64_t outer = 1;
  for (const std::int64_t size : outer_) outer *= size;
  // Rows are the better the wider they are; where there are only runs, narrow tiles spread better, down to
  // what is worth another thread.
  if (rows_.empty) {
    const std::int64_t column_bytes =
        saturating(runs_.elements(), static_cast<std::int64_t>(reducer_.element_bytes));
    const std::int64_t narrow =
        std::max(columns_ / ceil_div(kEnoughUnits, outer), ceil_div(kGrainBytes, column_bytes));
    most_columns = std::min(most_columns, narrow);
  }
  if (group_ != 0) most_columns = most_columns / group_ * group_;
  tile_ = std::min(columns_, most_columns);
  tiles_ = ceil_div(columns_, tile_);
  places_ = tiles_ * outer;

  // Narrow rows that follow each other in memory are taken several as one wide one. Positions would be lost.
  const bool dense = !rows_.empty && runs_.empty && stride_ == 1 && rows_.stride == columns_ && group_ == 0;
  if (dense && tiles_ == 1 && reducer_.shift == nullptr) {
    fold_ = std::clamp<std::int64_t>(most_columns / columns_, 1, rows_.size);
  }

  const std::int64_t step_elements =
      saturating(tile_, rows_.empty ? std::min(runs_.size, run_) : runs_.elements());
  steps_ = rows_.empty ? parts() : rows_.elements();
  const auto element = static_cast<std::int64_t>(reducer_.element_bytes);
  const std::int64_t step_bytes = std::max<std::int64_t>(saturating(step_elements, element), 1);
  const std::int64_t place_bytes = saturating(step_bytes, steps_);
  if (saturating(place_bytes, places_) > kSpreadBytes &&
      (places_ < kEnoughUnits || place_bytes > kLongPlace)) {
    // Few places need pieces to keep workers busy, long ones so that nobody is kept from streams for long; no
    // more than that, since each piece has accumulators.
    const std::int64_t most = std::max(ceil_div(kMostUnits, places_), place_bytes / kLongPlace);
    const std::int64_t pieces = std::clamp<std::int64_t>(place_bytes / kPieceBytes, 1, most);
    // Whole folded rows, and groups of rows, so that pieces end where those do.
    const std::int64_t unit = !rows_.empty ? reducer_.group * fold_ : 1;
    piece_ = ceil_div(ceil_div(steps_, pieces), unit) * unit;
  } else {
    piece_ = steps_;
  }
  pieces_ = ceil_div(steps_, piece_);
  const std::int64_t unit_bytes = std::max<std::int64_t>(saturating(step_bytes, std::min(piece_, steps_)), 1);
  grain_ = std::max<std::int64_t>(kGrainBytes / unit_bytes, 1);

  const auto tile = static_cast<std::size_t>(tile_ * accumulator);
  tile_bytes_ = aligned(tile);
  if (!rows_.empty) {
    cascade_bytes_ =
        aligned(Cascade::scratch_bytes(tile * static_cast<std::size_t>(fold_), rows_.elements()));
    if (fold_ > 1) rest_bytes_ = aligned(Cascade::scratch_bytes(tile, rows_.elements()));
  }
  nest_bytes_ = aligned(Cascade::scratch_bytes(reducer_.accumulator_bytes, parts()));
  if (reducer_.four_runs != nullptr) nest_bytes_ *= 4;
  gathered_bytes_ =
      aligned(static_cast<std::size_t>(std::max(run_, gathers_columns ? reducer_.group * tile_ : 0)) *
              reducer_.element_bytes);
  scratch_bytes_ = cascade_bytes_ + rest_bytes_ + nest_bytes_ + tile_bytes_ + gathered_bytes_;
}

void Engine::run(Workers& workers) {
  if (work_.reduced_count == 0) return write_nothing();
  const std::int64_t units = places_ * pieces_;
  const bool spread = units > grain_;
  scratch_ = std::make_unique_for_overwrite<std::byte[]>(
      scratch_bytes_ * static_cast<std::size_t>(spread ? workers.count() : 1) + kAlignment);
  if (pieces_ > 1) {
    partial_ = std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(units) * tile_bytes_);
  }
  struct Job {
    Engine& engine;
    std::int64_t units;
  } job{*this, units};
  const auto body = [](void* context, std::int64_t index, int worker) {
    const Job& all = *static_cast<const Job*>(context);
    const std::int64_t begin = index * all.engine.grain_;
    const std::int64_t end = std::min(begin + all.engine.grain_, all.units);
    for (std::int64_t unit = begin; unit < end; ++unit) all.engine.do_unit(unit, worker);
  };
  if (spread) {
    workers.for_each(ceil_div(units, grain_), body, &job);
  } else {
    NoWorkers().for_each(ceil_div(units, grain_), body, &job);
  }
  if (pieces_ == 1) return;
  for (std::int64_t place = 0; place < places_; ++place) merge_pieces(place);
}

void Engine::write_nothing() {
  std::vector<std::byte> nothing(reducer_.accumulator_bytes);
  reducer_.clear(nothing.data());
  std::int64_t places = 1;
  for (const std::int64_t size : outer_) places *= size;
  Walk walk(outer_, outer_output_strides_);
  for (std::int64_t place = 0; place < places; ++place, walk.next()) {
    auto* to = static_cast<std::byte*>(work_.output) +
               walk.offset() * static_cast<std::int64_t>(reducer_.result_bytes);
    for (std::int64_t i = 0; i < columns_; ++i) {
      reducer_.finish(nothing.data(), 1,
                      to + i * output_stride_ * static_cast<std::int64_t>(reducer_.result_bytes), 1, work_);
    }
  }
}

Engine::Scratch Engine::scratch_of(int worker) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(scratch_.get());
  std::byte* next =
      scratch_.get() + (aligned(start) - start) + scratch_bytes_ * static_cast<std::size_t>(worker);
  Scratch scratch{};
  scratch.cascade = next;
  scratch.rest = next += cascade_bytes_;
  scratch.nest = next += rest_bytes_;
  scratch.accumulators = next += nest_bytes_;
  scratch.gathered = next + tile_bytes_;
  return scratch;
}

std::int64_t Engine::columns_of(std::int64_t place) const noexcept {
  return std::min(tile_, columns_ - first_column(place));
}

void Engine::do_unit(std::int64_t unit, int worker) noexcept {
  const Scratch scratch = scratch_of(worker);
  const std::int64_t place = unit / pieces_;
  const std::int64_t begin = unit % pieces_ * piece_;
  const std::int64_t end = std::min(begin + piece_, steps_);
  const std::int64_t columns = columns_of(place);
  Walk walk(outer_, outer_strides_);
  walk.seek(place / tiles_);
  const std::byte* const from =
      at(static_cast<const std::byte*>(work_.input), walk.offset() + first_column(place) * stride_);
  std::byte* totals = scratch.accumulators;
  if (!rows_.empty) {
    totals = reduce_rows(from, columns, begin, end, scratch);
  } else if (pieces_ == 1) {
    reduce_runs(from, columns, scratch.accumulators, scratch);
  } else {
    for (std::int64_t i = 0; i < columns; ++i) {
      reduce_nest(at(from, i * stride_), begin, end,
                  scratch.accumulators + static_cast<std::size_t>(i) * reducer_.accumulator_bytes, scratch);
    }
  }
  if (pieces_ == 1) return finish(place, totals);
  std::memcpy(partial_.get() + static_cast<std::size_t>(unit) * tile_bytes_, totals,
              static_cast<std::size_t>(columns) * reducer_.accumulator_bytes);
}

void Engine::merge_pieces(std::int64_t place) noexcept {
  const std::int64_t columns = columns_of(place);
  std::byte* const first = partial_.get() + static_cast<std::size_t>(place * pieces_) * tile_bytes_;
  for (std::int64_t step = 1; step < pieces_; step *= 2) {
    for (std::int64_t i = 0; i + step < pieces_; i += 2 * step) {
      reducer_.merge(first + static_cast<std::size_t>(i) * tile_bytes_,
                     first + static_cast<std::size_t>(i + step) * tile_bytes_, columns);
    }
  }
  finish(place, first);
}

// Merges count rows of accumulators into the first.
void Engine::fold(std::byte* accumulators, std::int64_t width, std::int64_t count) const noexcept {
  while (count > 1) {
    const std::int64_t half = (count + 1) / 2;
    reducer_.merge(accumulators,
                   accumulators + static_cast<std::size_t>(half * width) * reducer_.accumulator_bytes,
                   (count - half) * width);
    count = half;
  }
}

void Engine::finish(std::int64_t place, std::byte* accumulators) noexcept {
  Walk walk(outer_, outer_output_strides_);
  walk.seek(place / tiles_);
  const auto write = [&](const std::byte* from, std::int64_t count, std::int64_t to) {
    reducer_.finish(from, count,
                    static_cast<std::byte*>(work_.output) +
                        (walk.offset() + to) * static_cast<std::int64_t>(reducer_.result_bytes),
                    output_stride_, work_);
  };
  const std::int64_t first = first_column(place);
  const std::int64_t columns = columns_of(place);
  if (group_ == 0) return write(accumulators, columns, first * output_stride_);
  for (std::int64_t done = 0; done < columns; done += group_) {
    std::byte* const group = accumulators + static_cast<std::size_t>(done) * reducer_.accumulator_bytes;
    fold(group, group_ / inner_, inner_);
    write(group, group_ / inner_, (first + done) / group_ * group_output_stride_);
  }
}

// Rows begin to end, counted through the nest of rows.
std::byte* Engine::reduce_rows(const std::byte* from, std::int64_t columns, std::int64_t begin,
                               std::int64_t end, const Scratch& scratch) const noexcept {
  Cascade cascade(reducer_, scratch.cascade);
  Cascade rest(reducer_, scratch.rest);
  cascade.clear(columns * fold_);
  rest.clear(columns);
  Walk walk(rows_.outer, rows_.outer_strides);
  walk.seek(begin / rows_.size);
  std::int64_t row = begin % rows_.size;
  while (begin < end) {
    const std::int64_t count = std::min(rows_.size - row, end - begin);
    const std::byte* const first = at(from, walk.offset() + row * rows_.stride);
    if (fold_ == 1) {
      combine_rows(first, columns, stride_, count, rows_.stride, begin, cascade, scratch);
    } else {
      const std::int64_t folded = count / fold_;
      const std::int64_t wide = columns * fold_;
      combine_rows(first, wide, 1, folded, wide, 0, cascade, scratch);
      combine_rows(at(first, folded * wide), columns, 1, count % fold_, columns, 0, rest, scratch);
    }
    begin += count;
    row = 0;
    walk.next();
  }
  if (cascade.empty()) return rest.total();
  std::byte* const totals = cascade.total();
  fold(totals, columns, fold_);
  if (!rest.empty()) reducer_.merge(totals, rest.total(), columns);
  return totals;
}

void Engine::combine_rows(const std::byte* from, std::int64_t columns, std::int64_t stride,
                          std::int64_t count, std::int64_t row_stride, std::int64_t position,
                          Cascade& cascade, const Scratch& scratch) const noexcept {
  if (!runs_.empty) {
    const std::int64_t run_elements = runs_.elements();
    for (std::int64_t r = 0; r < count; ++r) {
      reduce_runs(at(from, r * row_stride), columns, cascade.next(), scratch);
      if (reducer_.shift != nullptr) reducer_.shift(cascade.next(), columns, (position + r) * run_elements);
      cascade.push();
    }
    return;
  }
  for (std::int64_t r = 0; r < count; r += reducer_.group) {
    const std::int64_t n = std::min(reducer_.group, count - r);
    const std::byte* rows = at(from, r * row_stride);
    std::int64_t rows_stride = row_stride;
    if (stride != 1) {
      for (std::int64_t i = 0; i < n; ++i) {
        gather(at(rows, i * row_stride), columns, stride, reducer_.element_bytes,
               scratch.gathered + static_cast<std::size_t>(i * columns) * reducer_.element_bytes);
      }
      rows = scratch.gathered;
      rows_stride = columns;
    }
    reducer_.rows(rows, columns, n, rows_stride, cascade.next());
    if (reducer_.shift != nullptr) reducer_.shift(cascade.next(), columns, position + r);
    cascade.push();
  }
}

void Engine::reduce_runs(const std::byte* from, std::int64_t columns, std::byte* accumulators,
                         const Scratch& scratch) const noexcept {
  if (runs_.outer.empty() && runs_.stride == 1 && runs_.size <= run_) {
    reducer_.runs(from, columns, runs_.size, stride_, accumulators);
    return;
  }
  for (std::int64_t i = 0; i < columns; ++i) {
    reduce_nest(at(from, i * stride_), 0, parts(),
                accumulators + static_cast<std::size_t>(i) * reducer_.accumulator_bytes, scratch);
  }
}

// Parts begin to end of the nest of runs: short runs, or blocks of long ones.
void Engine::reduce_nest(const std::byte* from, std::int64_t begin, std::int64_t end, std::byte* accumulator,
                         const Scratch& scratch) const noexcept {
  const bool is_one_run = runs_.outer.empty() && runs_.stride == 1;
  if (is_one_run && reducer_.four_runs != nullptr && end - begin >= kWorthFour) {
    return reduce_four_places(from, begin, end, accumulator, scratch);
  }
  Cascade cascade(reducer_, scratch.nest);
  cascade.clear(1);
  if (short_runs_) {
    reduce_short_runs(from, begin, end, cascade, scratch);
  } else {
    reduce_long_runs(from, begin, end, cascade, scratch);
  }
  std::memcpy(accumulator, cascade.total(), reducer_.accumulator_bytes);
}

void Engine::reduce_long_runs(const std::byte* from, std::int64_t begin, std::int64_t end, Cascade& cascade,
                              const Scratch& scratch) const noexcept {
  Walk walk(runs_.outer, runs_.outer_strides);
  std::int64_t place = begin / blocks_;
  std::int64_t block = begin % blocks_;
  walk.seek(place);
  for (; begin < end; ++begin) {
    const std::int64_t start = block * run_;
    const std::byte* elements = at(from, walk.offset() + start * runs_.stride);
    const std::int64_t n = std::min(run_, runs_.size - start);
    if (runs_.stride != 1) {
      gather(elements, n, runs_.stride, reducer_.element_bytes, scratch.gathered);
      elements = scratch.gathered;
    }
    combine(elements, n, place * runs_.size + start, cascade);
    if (++block == blocks_) {
      block = 0;
      ++place;
      walk.next();
    }
  }
}

// Blocks begin to end of a dense run, read in four places in turn.
void Engine::reduce_four_places(const std::byte* from, std::int64_t begin, std::int64_t end,
                                std::byte* accumulator, const Scratch& scratch) const noexcept {
  const std::int64_t whole = std::min(end, runs_.size / run_) - begin;
  const std::int64_t distance = whole / 4;
  const std::size_t scratch_bytes = nest_bytes_ / 4;
  std::array<Cascade, 4> places{Cascade(reducer_, scratch.nest),
                                Cascade(reducer_, scratch.nest + scratch_bytes),
                                Cascade(reducer_, scratch.nest + 2 * scratch_bytes),
                                Cascade(reducer_, scratch.nest + 3 * scratch_bytes)};
  for (Cascade& place : places) place.clear(1);
  alignas(kAlignment) std::array<std::byte, 4 * kLargestAccumulator> four;
  for (std::int64_t block = begin; block < begin + distance; ++block) {
    reducer_.four_runs(at(from, block * run_), run_, distance * run_, four.data());
    for (std::size_t i = 0; i < places.size(); ++i) {
      std::memcpy(places[i].next(), four.data() + i * reducer_.accumulator_bytes, reducer_.accumulator_bytes);
      places[i].push();
    }
  }
  // What does not divide by four, and a block that is not whole.
  reduce_long_runs(from, begin + 4 * distance, end, places[3], scratch);
  std::byte* const total = places[0].total();
  std::byte* const second = places[2].total();
  reducer_.merge(total, places[1].total(), 1);
  reducer_.merge(second, places[3].total(), 1);
  reducer_.merge(total, second, 1);
  std::memcpy(accumulator, total, reducer_.accumulator_bytes);
}

void Engine::reduce_short_runs(const std::byte* from, std::int64_t begin, std::int64_t end, Cascade& cascade,
                               const Scratch& scratch) const noexcept {
  Walk walk(runs_.outer, runs_.outer_strides);
  walk.seek(begin);
  std::int64_t first = begin;
  std::int64_t filled = 0;
  for (; begin < end; ++begin, walk.next()) {
    gather(at(from, walk.offset()), runs_.size, runs_.stride, reducer_.element_bytes,
           scratch.gathered + static_cast<std::size_t>(filled) * reducer_.element_bytes);
    filled += runs_.size;
    if (begin + 1 < end && filled + runs_.size <= run_) continue;
    combine(scratch.gathered, filled, first * runs_.size, cascade);
    first = begin + 1;
    filled = 0;
  }
}

void Engine::combine(const std::byte* elements, std::int64_t n, std::int64_t position,
                     Cascade& cascade) const noexcept {
  reducer_.run(elements, n, cascade.next());
  if (reducer_.shift != nullptr) reducer_.shift(cascade.next(), 1, position);
  cascade.push();
}

}  // namespace millrace::host
