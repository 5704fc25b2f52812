#include "program/litmus_parser.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

namespace interleave::litmus {
namespace {

struct OrderName {
  std::string_view name;
  std::optional<std::memory_order> order;  // nothing: plain
};

constexpr std::array<OrderName, 6> kOrders{{{"na", std::nullopt},
                                            {"rlx", std::memory_order_relaxed},
                                            {"acq", std::memory_order_acquire},
                                            {"rel", std::memory_order_release},
                                            {"ar", std::memory_order_acq_rel},
                                            {"sc", std::memory_order_seq_cst}}};

/// Thread safety: one thread.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Program program() {
    do {
      if (program_.threads.size() == kMaxThreads) fail("at most 8 threads");
      registers_ = 0;
      program_.threads.push_back(sequence(false));
      program_.registers.push_back(registers_);
    } while (take("||"));
    if (at_ != text_.size()) fail("expected ; or || or the end of the line");
    return std::move(program_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Malformed(at_ + 1, what); }

  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  bool take(std::string_view token) {
    skip();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void need(std::string_view token) {
    if (!take(token)) fail("expected " + std::string(token) + " here");
  }
  std::string_view word() {
    skip();
    std::size_t end = at_;
    while (end < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[end])) != 0 || text_[end] == '_'))
      ++end;
    return text_.substr(at_, end - at_);
  }

  std::vector<Operation> sequence(bool braced) {
    if (depth_ == 64) fail("ifs nest at most 64 deep");
    ++depth_;
    std::vector<Operation> operations;
    do {
      operations.push_back(operation());
    } while (take(";"));
    if (braced) need("}");
    --depth_;
    return operations;
  }

  Operation operation() {
    Operation operation;
    const std::string_view name = word();
    if (name.empty()) fail("expected an operation");
    const std::size_t begin = at_;
    at_ += name.size();
    if (name == "if") {
      branch(operation);
    } else if (name == "F") {
      operation.what = What::fence;
      operation.order = *order("a fence", {"acq", "rel", "ar", "sc"});
    } else if (name == "R") {
      operation.what = What::load;
      operation.location = location();
      const auto written = order("a load", {"na", "rlx", "acq", "sc"});
      operation.plain = !written;
      operation.order = written.value_or(std::memory_order_relaxed);
      operation.to = registers_++;
    } else if (name == "cas" || name == "xchg") {
      exchange(operation, name == "cas");
    } else {
      at_ = begin;
      operation.location = location();
      assignment(operation);
    }
    return operation;
  }

  void branch(Operation& operation) {
    operation.what = What::branch;
    operation.from = reg();
    if (take("==")) {
      operation.compare = Compare::equal;
    } else if (take("!=")) {
      operation.compare = Compare::different;
    } else if (take(">=")) {
      operation.compare = Compare::at_least;
    } else if (take(">")) {
      operation.compare = Compare::greater;
    } else {
      fail("expected == != > or >=");
    }
    operation.value = integer();
    need("{");
    operation.then = sequence(true);
  }

  void exchange(Operation& operation, bool conditional) {
    operation.what = conditional ? What::compare_exchange : What::exchange;
    need("(");
    operation.location = location();
    need(",");
    operation.value = integer();
    if (conditional) {
      need("->");
      operation.expected = std::exchange(operation.value, integer());
    }
    need(")");
    operation.order = *order("an exchange", {"rlx", "acq", "rel", "ar", "sc"});
    if (conditional) {
      need("/");
      operation.failure = *order_name("the order of a failed compare-exchange", {"rlx", "acq", "sc"});
    }
    operation.to = registers_++;
  }

  void assignment(Operation& operation) {
    if (take("+=")) {
      operation.what = What::add;
      operation.value = integer();
      operation.order = *order("an addition", {"rlx", "acq", "rel", "ar", "sc"});
      operation.to = registers_++;
      return;
    }
    if (!take("=")) fail("expected = or +=");
    operation.what = What::store;
    if (!word().empty() && word()[0] == 'r') {
      operation.from = reg();
      if (take("+")) operation.value = integer();
    } else {
      operation.value = integer();
    }
    const auto written = order("a store", {"na", "rlx", "rel", "sc"});
    operation.plain = !written;
    operation.order = written.value_or(std::memory_order_relaxed);
  }

  static bool is_register(std::string_view name) {
    return name.size() > 1 && name[0] == 'r' &&
           std::all_of(name.begin() + 1, name.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  }

  int reg() {
    const std::string_view name = word();
    if (!is_register(name)) fail("expected a register: r0, r1, ...");
    int number = 0;
    const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
    if (error != std::errc() || number >= registers_) {
      fail(std::string(name) + " names no load before it in its thread, which has " +
           std::to_string(registers_) + " so far");
    }
    at_ += name.size();
    return number;
  }

  int location() {
    const std::string_view name = word();
    if (name.empty() || std::islower(static_cast<unsigned char>(name[0])) == 0 || is_register(name) ||
        name == "if" || name == "cas" || name == "xchg" ||
        std::any_of(name.begin(), name.end(), [](unsigned char c) { return std::isupper(c) != 0; })) {
      fail(
          "expected a location: a small letter, then small letters, digits or _, not a register or a "
          "keyword");
    }
    at_ += name.size();
    auto& all = program_.locations;
    const auto found = std::find(all.begin(), all.end(), name);
    if (found != all.end()) return static_cast<int>(found - all.begin());
    all.emplace_back(name);
    return static_cast<int>(all.size()) - 1;
  }

  std::int64_t integer() {
    skip();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error == std::errc::result_out_of_range) fail("the number does not fit into 64 bits");
    if (error != std::errc()) fail("expected a number");
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }

  using Names = std::initializer_list<std::string_view>;
  std::optional<std::memory_order> order(const char* of, Names allowed) {
    skip();
    if (!take(".")) fail("expected . and an order: " + list(of, allowed));
    return order_name(of, allowed);
  }
  std::optional<std::memory_order> order_name(const char* of, Names allowed) {
    const std::string_view name = word();
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
      fail("'" + std::string(name) + "': " + list(of, allowed));
    }
    at_ += name.size();
    return std::find_if(kOrders.begin(), kOrders.end(),
                        [&](const OrderName& order) { return order.name == name; })
        ->order;
  }
  static std::string list(const char* of, Names allowed) {
    std::string text = std::string(of) + " is ";
    for (const auto* name = allowed.begin(); name != allowed.end(); ++name) {
      if (name != allowed.begin()) text += name + 1 == allowed.end() ? " or " : ", ";
      text += *name;
    }
    return text;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Program program_;
  int registers_ = 0;
  int depth_ = 0;
};

}  // namespace

Program parse(std::string_view line) {
  return Parser(line).program();
}

}  // namespace interleave::litmus
