// Programs with mutexes, one a line: the notation of oracle/locks.py.
#pragma once

#include <array>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace interleave::locks {

enum class What : std::uint8_t { lock, unlock, attempt, store, load, add };

struct Operation {
  What what = What::lock;
  std::size_t object = 0;  // a mutex's or a location's number
  std::memory_order order = std::memory_order_relaxed;
  std::int64_t value = 0;       // stored or added
  std::vector<Operation> then;  // what follows when the attempt succeeds
};

struct Program {
  std::map<std::string, std::size_t> mutexes, locations;
  std::vector<std::vector<Operation>> threads;
};

constexpr std::size_t kMaxThreads = 4;
constexpr std::size_t kMaxObjects = 4;  // mutexes, and locations

/// Reads one line; throws std::runtime_error that says what was expected, and at which column.
///
/// Thread safety: a value.
class Parser {
 public:
  explicit Parser(std::string_view line) : line_(line) {}

  Program program() {
    do {
      if (program_.threads.size() == kMaxThreads) fail("no more than 4 threads");
      program_.threads.push_back(operations());
    } while (accept("||"));
    skip();
    if (at_ != line_.size()) fail("';' or '||'");
    return std::move(program_);
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    throw std::runtime_error("column " + std::to_string(at_ + 1) + ": expected " + expected);
  }
  void skip() {
    while (at_ < line_.size() && line_[at_] == ' ') ++at_;
  }
  bool accept(std::string_view token) {
    skip();
    if (line_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void take(std::string_view token) {
    if (!accept(token)) fail("'" + std::string(token) + "'");
  }
  std::string name() {
    skip();
    std::string name;
    while (at_ < line_.size() && line_[at_] >= 'a' && line_[at_] <= 'z') name += line_[at_++];
    if (name.empty()) fail("a name");
    return name;
  }
  std::size_t number(std::map<std::string, std::size_t>& numbers, const std::string& name) {
    const std::size_t number = numbers.emplace(name, numbers.size()).first->second;
    if (number == kMaxObjects) fail("no more than 4 mutexes and 4 locations");
    return number;
  }
  std::int64_t value() {
    skip();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(line_.data() + at_, line_.data() + line_.size(), value);
    if (error != std::errc()) fail("a number");
    at_ = static_cast<std::size_t>(end - line_.data());
    return value;
  }
  std::memory_order order() {
    take(".");
    if (accept("rlx")) return std::memory_order_relaxed;
    if (accept("acq")) return std::memory_order_acquire;
    if (accept("rel")) return std::memory_order_release;
    if (accept("ar")) return std::memory_order_acq_rel;
    if (accept("sc")) return std::memory_order_seq_cst;
    fail("one of the orders rlx acq rel ar sc");
  }

  std::vector<Operation> operations() {
    std::vector<Operation> all;
    do {
      all.push_back(operation());
    } while (accept(";"));
    return all;
  }
  Operation operation() {
    if (accept("lock ")) return {What::lock, number(program_.mutexes, name()), {}, 0, {}};
    if (accept("unlock ")) return {What::unlock, number(program_.mutexes, name()), {}, 0, {}};
    if (accept("try ")) {
      Operation attempt = {What::attempt, number(program_.mutexes, name()), {}, 0, {}};
      take("{");
      attempt.then = operations();
      take("}");
      return attempt;
    }
    Operation access;
    if (accept("R ")) {
      access.what = What::load;
      access.object = number(program_.locations, name());
    } else {
      access.object = number(program_.locations, name());
      access.what = accept("+=") ? What::add : What::store;
      if (access.what == What::store) take("=");
      access.value = value();
    }
    access.order = order();
    return access;
  }

  std::string_view line_;
  std::size_t at_ = 0;
  Program program_;
};

}  // namespace interleave::locks
