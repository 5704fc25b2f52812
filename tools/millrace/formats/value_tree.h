// What pickles and JSON are read into: plain values in a few arrays, so that a file can neither make us
// recurse nor allocate more than a few words a byte of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::tool {

enum class ValueKind : std::uint8_t { null, boolean, natural, number, string, bytes, list, tuple, dict };

/// "a list", for errors.
const char* to_string(ValueKind kind) noexcept;

/// Values know their items by index, and a value may be an item of several (a pickle may even make it its
/// own): walk it to a depth that you know.
///
/// Thread safety: one thread changes it, or any read it.
class ValueTree {
 public:
  using Index = std::uint32_t;
  /// Files up to this size have fewer values than an Index can tell apart.
  static constexpr std::uint64_t kMaxFile = (std::uint64_t{1} << 31U) - 1;

  /// text: where strings lie that are not copied; must outlive the tree.
  explicit ValueTree(std::string_view text = {}) : text_(text) {}

  Index add(ValueKind kind, std::uint64_t at);
  /// A whole number that is not negative and below 2^64; all others are of the kind number, without a value.
  Index add_natural(std::uint64_t value, std::uint64_t at);
  /// A part of the text.
  Index add_string(ValueKind kind, std::string_view part, std::uint64_t at);
  Index add_copied_string(std::string_view string, std::uint64_t at);
  /// For lists and tuples their items; for dicts keys and values in turn, added in pairs.
  void append(Index container, const Index* items, std::size_t count);

  ValueKind kind(Index value) const { return values_[value].kind; }
  std::uint64_t at(Index value) const { return values_[value].at; }  ///< where the file has it, in bytes
  std::uint64_t natural(Index value) const { return values_[value].payload; }
  std::string_view string(Index value) const;
  std::uint64_t items(Index container) const { return values_[container].payload; }  ///< keys count too

  /// The items, from first to last. visit: (Index item).
  template <typename Visit>
  void for_each(Index container, Visit visit) const {
    for (Index run = values_[container].first_run; run != kNone; run = runs_[run].next) {
      for (Index i = 0; i < runs_[run].count; ++i) visit(items_[runs_[run].begin + i]);
    }
  }
  /// The value of a key of a dict: the last one, as Python has it; kNone where there is none.
  Index find(Index dict, std::string_view key) const;

  static constexpr Index kNone = ~Index{0};

 private:
  struct Value {
    std::uint64_t payload = 0;  // a natural number; where a string begins; how many items a container has
    Index at = 0;
    union {
      Index first_run = kNone;  // of a container
      Index length;             // of a string
    };
    Index last_run = kNone;
    ValueKind kind = ValueKind::null;
    bool copied = false;  // a string: in copies_ instead of the text
  };
  /// Items that came at once: Python's pickles come in runs of a thousand.
  struct Run {
    Index begin = 0, count = 0, next = kNone;
  };

  Value& push(ValueKind kind, std::uint64_t at);

  std::string_view text_;
  std::string copies_;
  std::vector<Value> values_;
  std::vector<Run> runs_;
  std::vector<Index> items_;
};

}  // namespace millrace::tool
