// The free ranges of a space, and which of them serves a request.
#pragma once

#include <boost/intrusive/set.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "memory/block.h"

namespace millrace {

/// Thread safety: guarded by the arena's mutex.
class FreeRanges {
 public:
  enum class Fit : std::uint8_t {
    best,   ///< the smallest that fits, of equal ones the lowest
    first,  ///< the lowest address that fits (docs/decisions/best-fit-for-everything.md)
  };

  explicit FreeRanges(Fit fit);

  /// The block is in no ranges; its size does not change while it is in these.
  void insert(Block& block) noexcept;
  void erase(Block& block) noexcept;
  void clear() noexcept;

  /// A range of at least the size for which accepts(const Block&) is true; null if there is none.
  template <typename Accepts>
  Block* find(std::size_t size, Accepts&& accepts) noexcept {
    return fit_ == Fit::best ? find_best(size, accepts) : find_first(size, accepts);
  }
  std::size_t largest() const noexcept;
  template <typename Visit>
  void for_each(Visit&& visit) {
    for (Ranges& bin : bins_) {
      for (Block& block : bin) visit(block);
    }
  }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const Ranges& bin : bins_) {
      for (const Block& block : bin) visit(block);
    }
  }

 private:
  struct Order {
    bool by_size;
    bool operator()(const Block& a, const Block& b) const noexcept {
      return by_size && a.size != b.size ? a.size < b.size : a.data() < b.data();
    }
  };
  struct BySize {
    bool operator()(const Block& a, std::size_t size) const noexcept { return a.size < size; }
    bool operator()(std::size_t size, const Block& a) const noexcept { return size < a.size; }
  };
  using Ranges =
      boost::intrusive::set<Block,
                            boost::intrusive::member_hook<Block, decltype(Block::range), &Block::range>,
                            boost::intrusive::compare<Order>>;

  /// Four bins for each doubling of the size, from 64 KiB on.
  static constexpr std::size_t kBins = 192;
  static constexpr int kSmallest = 16;
  static std::size_t bin_of(std::size_t size) noexcept {
    const int exponent = static_cast<int>(std::bit_width(size)) - 1;
    if (exponent < kSmallest) return 0;
    return static_cast<std::size_t>(exponent - kSmallest) * 4 + (size >> (exponent - 2)) % 4;
  }
  Ranges& bin_for(const Block& block) noexcept { return bins_[fit_ == Fit::best ? 0 : bin_of(block.size)]; }

  template <typename Accepts>
  Block* find_best(std::size_t size, Accepts&& accepts) noexcept {
    for (auto found = bins_[0].lower_bound(size, BySize()); found != bins_[0].end(); ++found) {
      if (accepts(*found)) return &*found;
    }
    return nullptr;
  }
  template <typename Accepts>
  Block* find_first(std::size_t size, Accepts&& accepts) noexcept {
    Block* lowest = nullptr;
    // In a bin of larger ranges all are large enough, so its lowest that is accepted decides; in the size's
    // own bin some are not.
    for (std::size_t bin = next_bin(bin_of(size)); bin < kBins; bin = next_bin(bin + 1)) {
      for (Block& block : bins_[bin]) {
        if (lowest != nullptr && lowest->data() < block.data()) break;
        if (block.size < size || !accepts(block)) continue;
        lowest = &block;
        break;
      }
    }
    return lowest;
  }
  /// The first from there on that is not empty; kBins if there is none.
  std::size_t next_bin(std::size_t from) const noexcept;

  const Fit fit_;
  std::vector<Ranges> bins_;                          // one for best fit
  std::array<std::uint64_t, kBins / 64> occupied_{};  // a bit for each bin
};

}  // namespace millrace
