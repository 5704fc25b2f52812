#include "memory/free_ranges.h"

#include <algorithm>

namespace millrace {

FreeRanges::FreeRanges(Fit fit) : fit_(fit) {
  const std::size_t bins = fit == Fit::best ? 1 : kBins;
  bins_.reserve(bins);
  while (bins_.size() < bins) bins_.emplace_back(Order{fit == Fit::best});
}

void FreeRanges::insert(Block& block) noexcept {
  Ranges& bin = bin_for(block);
  bin.insert(block);
  const auto index = static_cast<std::size_t>(&bin - bins_.data());
  occupied_[index / 64] |= std::uint64_t{1} << index % 64;
}

void FreeRanges::erase(Block& block) noexcept {
  Ranges& bin = bin_for(block);
  bin.erase(bin.iterator_to(block));
  if (!bin.empty()) return;
  const auto index = static_cast<std::size_t>(&bin - bins_.data());
  occupied_[index / 64] &= ~(std::uint64_t{1} << index % 64);
}

void FreeRanges::clear() noexcept {
  for (Ranges& bin : bins_) bin.clear();
  occupied_ = {};
}

std::size_t FreeRanges::next_bin(std::size_t from) const noexcept {
  for (std::size_t word = from / 64; word < occupied_.size(); ++word) {
    const std::uint64_t bits = occupied_[word] >> (word == from / 64 ? from % 64 : 0);
    if (bits == 0) continue;
    const std::size_t first = word == from / 64 ? from : word * 64;
    return first + static_cast<std::size_t>(std::countr_zero(bits));
  }
  return kBins;
}

std::size_t FreeRanges::largest() const noexcept {
  std::size_t largest = 0;
  for (auto bin = bins_.rbegin(); bin != bins_.rend() && largest == 0; ++bin) {
    if (bin->empty()) continue;
    if (fit_ == Fit::best) return bin->rbegin()->size;
    for (const Block& block : *bin) largest = std::max(largest, block.size);
  }
  return largest;
}

}  // namespace millrace
