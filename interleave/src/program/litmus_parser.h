// The notation of litmus programs: one program a line.
#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace interleave::litmus {

enum class What : std::uint8_t { store, load, add, exchange, compare_exchange, fence, branch };
enum class Compare : std::uint8_t { equal, different, greater, at_least };

struct Operation {
  What what = What::store;
  int location = 0;
  bool plain = false;  // a load or store that is not atomic
  std::memory_order order = std::memory_order_relaxed;
  std::memory_order failure = std::memory_order_relaxed;
  int from = -1;              // the register stored, -1: none
  int to = -1;                // the register loaded into
  std::int64_t value = 0;     // stored or added; or compared with
  std::int64_t expected = 0;  // by compare-exchange
  Compare compare = Compare::equal;
  std::vector<Operation> then;  // of a branch
};

struct Program {
  std::vector<std::string> locations;
  std::vector<std::vector<Operation>> threads;
  std::vector<int> registers;  // how many each thread has
};

/// What is wrong with a line, and where: the column counts from 1.
///
/// Thread safety: a value.
class Malformed : public std::runtime_error {
 public:
  Malformed(std::size_t column, const std::string& what) : std::runtime_error(what), column_(column) {}
  std::size_t column() const noexcept { return column_; }

 private:
  std::size_t column_;
};

constexpr std::size_t kMaxThreads = 8;

/// Throws Malformed.
Program parse(std::string_view line);

}  // namespace interleave::litmus
