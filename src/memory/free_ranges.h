// The free ranges of a space, and which of them serves a request.
#pragma once

#include <boost/intrusive/set.hpp>

#include <cstddef>

#include "memory/block.h"

namespace millrace {

/// In the order of their sizes, of equal ones the lowest address first.
///
/// Thread safety: guarded by the arena's mutex.
class FreeRanges {
 public:
  /// The block is in no ranges; its size does not change while it is in these.
  void insert(Block& block) noexcept {
    ranges_.insert(block);
    bytes_ += block.size;
  }
  void erase(Block& block) noexcept {
    ranges_.erase(ranges_.iterator_to(block));
    bytes_ -= block.size;
  }
  void clear() noexcept {
    ranges_.clear();
    bytes_ = 0;
  }

  /// The first of at least the size for which accepts(const Block&) is true: the best fit. Null if there is
  /// none.
  template <typename Accepts>
  Block* find(std::size_t size, Accepts&& accepts) noexcept {
    for (auto found = ranges_.lower_bound(size, BySize()); found != ranges_.end(); ++found) {
      if (accepts(*found)) return &*found;
    }
    return nullptr;
  }
  /// The largest for which accepts(const Block&) is true; null if there is none.
  template <typename Accepts>
  Block* find_largest(Accepts&& accepts) noexcept {
    for (auto found = ranges_.rbegin(); found != ranges_.rend(); ++found) {
      if (accepts(*found)) return &*found;
    }
    return nullptr;
  }
  std::size_t largest() const noexcept { return ranges_.empty() ? 0 : ranges_.rbegin()->size; }
  std::size_t bytes() const noexcept { return bytes_; }  ///< of all of them
  template <typename Visit>
  void for_each(Visit&& visit) {
    for (Block& block : ranges_) visit(block);
  }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const Block& block : ranges_) visit(block);
  }

 private:
  struct Order {
    bool operator()(const Block& a, const Block& b) const noexcept {
      return a.size != b.size ? a.size < b.size : a.data() < b.data();
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

  Ranges ranges_;
  std::size_t bytes_ = 0;
};

}  // namespace millrace
