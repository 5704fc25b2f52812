#include "backends/cuda/reduce/hazards.h"

#include <algorithm>

namespace millrace::cuda {

Bytes Hazards::part_in(std::uintptr_t unit, const Bytes& range) noexcept {
  const std::uintptr_t base = unit * kUnit;
  return {std::max(range.begin, base) - base, std::min(range.end, base + kUnit) - base};
}

bool Hazards::is_small(const Bytes& range) noexcept {
  return (range.end - 1) / kUnit - range.begin / kUnit < kMostUnits;
}

std::size_t Hazards::place_of(std::uintptr_t unit) const noexcept {
  constexpr std::uintptr_t kSpread = 0x9e3779b97f4a7c15;  // neighbours get neighbours, strides do not meet
  std::size_t at = (unit + unit / kPlaces * kSpread) % kPlaces;
  while (places_[at].stamp == stamp_ && places_[at].unit != unit) at = (at + 1) % kPlaces;
  return at;
}

bool Hazards::allows(const Touched& touched) const noexcept {
  if (operations_ == kMostOperations) return false;
  return !is_written(touched.read) && allows_write(touched.written) && allows_write(touched.scratch);
}

bool Hazards::allows_write(const Bytes& range) const noexcept {
  if (range.empty()) return true;
  if (is_read(range)) return false;
  if (!is_small(range)) return larges_ + 1 < kMostLarge && !is_written(range);
  if (taken_ + 2 * kMostUnits > kMostTaken) return false;
  for (int i = 0; i < larges_; ++i) {
    if (large_[static_cast<std::size_t>(i)].meets(range)) return false;
  }
  if (!all_written_.meets(range)) return true;
  for (std::uintptr_t unit = range.begin / kUnit; unit <= (range.end - 1) / kUnit; ++unit) {
    const Place& place = places_[place_of(unit)];
    if (place.stamp == stamp_ && Bytes{place.begin, place.end}.meets(part_in(unit, range))) return false;
  }
  return true;
}

bool Hazards::is_written(const Bytes& range) const noexcept {
  if (range.empty() || !all_written_.meets(range)) return false;
  return std::any_of(written_.begin(), written_.begin() + writes_,
                     [&](const Bytes& written) { return written.meets(range); });
}

bool Hazards::is_read(const Bytes& range) const noexcept {
  if (!all_read_.meets(range)) return false;
  return std::any_of(read_.begin(), read_.begin() + reads_,
                     [&](const Bytes& read) { return read.meets(range); });
}

void Hazards::add(const Touched& touched) noexcept {
  ++operations_;
  add_read(touched.read);
  add_written(touched.written);
  add_written(touched.scratch);
}

void Hazards::add_read(const Bytes& range) noexcept {
  constexpr int kLookedAt = 4;  // many read what one of the last ones did
  if (range.empty()) return;
  for (int i = std::max(0, reads_ - kLookedAt); i < reads_; ++i) {
    if (read_[static_cast<std::size_t>(i)] == range) return;
  }
  read_[static_cast<std::size_t>(reads_++)] = range;
  all_read_.cover(range);
}

void Hazards::add_written(const Bytes& range) noexcept {
  if (range.empty()) return;
  written_[static_cast<std::size_t>(writes_++)] = range;
  all_written_.cover(range);
  if (!is_small(range)) {
    large_[static_cast<std::size_t>(larges_++)] = range;
    return;
  }
  for (std::uintptr_t unit = range.begin / kUnit; unit <= (range.end - 1) / kUnit; ++unit) {
    Place& place = places_[place_of(unit)];
    Bytes part = part_in(unit, range);
    if (place.stamp == stamp_) {
      part.cover({place.begin, place.end});
    } else {
      ++taken_;
    }
    place = {unit, stamp_, static_cast<std::uint16_t>(part.begin), static_cast<std::uint16_t>(part.end)};
  }
}

void Hazards::clear() noexcept {
  if (operations_ == 0) return;
  operations_ = reads_ = writes_ = larges_ = 0;
  taken_ = 0;
  all_read_ = all_written_ = {};
  if (++stamp_ == 0) {
    places_.fill({});
    stamp_ = 1;
  }
}

}  // namespace millrace::cuda
