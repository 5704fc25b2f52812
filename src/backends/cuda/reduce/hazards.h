// Which operations may run in any order, by the memory that they touch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::cuda {

/// Addresses from begin to before end.
struct Bytes {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;

  bool empty() const noexcept { return begin == end; }
  bool operator==(const Bytes&) const = default;
  bool meets(const Bytes& other) const noexcept { return begin < other.end && other.begin < end; }
  /// Grows until it holds the other one too, which is not empty.
  void cover(const Bytes& other) noexcept {
    if (empty()) {
      *this = other;
    } else {
      begin = other.begin < begin ? other.begin : begin;
      end = other.end > end ? other.end : end;
    }
  }
};

/// What one operation touches; each may be empty.
struct Touched {
  Bytes read, written, scratch;
};

/// The memory that a set of operations touches. It errs towards a conflict: where it is full, and where
/// outputs lie so close to each other, and not in order, that it takes what is between them for written.
///
/// Invariants (docs/concurrency/cuda.md):
///   C11  No two operations of a set touch the same byte, unless both only read it.
///
/// Thread safety: one thread at a time.
class Hazards {
 public:
  static constexpr int kMostOperations = 256;

  /// May it run in any order with all that was added?
  bool allows(const Touched& touched) const noexcept;
  /// After allows, or as the first.
  void add(const Touched& touched) noexcept;
  void clear() noexcept;

 private:
  // Outputs are small, and the allocator's blocks begin at multiples of a unit. So they are looked up by
  // unit, each of which knows the first and the last byte that is written in it; the few large ones are not.
  static constexpr std::uintptr_t kUnit = 512;
  static constexpr std::uintptr_t kMostUnits = 16;  // of an output that is small
  static constexpr std::size_t kPlaces = 1024;
  static constexpr std::size_t kMostTaken = kPlaces / 2;
  static constexpr int kMostLarge = 32;
  static constexpr int kMostRanges = 2 * kMostOperations;

  struct Place {
    std::uintptr_t unit = 0;
    std::uint32_t stamp = 0;  ///< the set's whose it is
    std::uint16_t begin = 0, end = 0;
  };

  /// The part of a range that is in a unit.
  static Bytes part_in(std::uintptr_t unit, const Bytes& range) noexcept;
  static bool is_small(const Bytes& range) noexcept;
  /// That of the unit, or where it is to be put.
  std::size_t place_of(std::uintptr_t unit) const noexcept;
  bool allows_write(const Bytes& range) const noexcept;
  bool is_written(const Bytes& range) const noexcept;
  bool is_read(const Bytes& range) const noexcept;
  void add_read(const Bytes& range) noexcept;
  void add_written(const Bytes& range) noexcept;

  std::uint32_t stamp_ = 1;
  std::size_t taken_ = 0;
  int operations_ = 0, reads_ = 0, writes_ = 0, larges_ = 0;
  Bytes all_read_, all_written_;
  std::array<Bytes, kMostOperations> read_;
  std::array<Bytes, kMostRanges> written_;
  std::array<Bytes, kMostLarge> large_;
  std::array<Place, kPlaces> places_{};
};

}  // namespace millrace::cuda
