#include "formats/pickle_reader.h"

#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "formats/file_format_error.h"
#include "formats/pickle.h"
#include "formats/pickle_opcodes.h"

namespace millrace::tool {
namespace {

using Index = ValueTree::Index;

/// The stack machine that a pickle is a program for, less everything that reaches beyond the file.
class PickleMachine {
 public:
  PickleMachine(const std::string& file, std::span<const std::byte> bytes)
      : file_(file), text_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), tree_(text_) {}

  PickledValue read() {
    while (!ended_) {
      begin_ = at_;
      const auto opcode = static_cast<std::uint8_t>(take(1, "an opcode")[0]);
      if (!scalar(opcode) && !container(opcode) && !machine(opcode)) refuse(opcode);
    }
    if (stack_.size() != 1 || !marks_.empty()) {
      fail("one value at the end", fmt::format("{}, and {} open marks", stack_.size(), marks_.size()));
    }
    return {std::move(tree_), stack_.back()};
  }

 private:
  [[noreturn]] void fail(std::string expected, std::string found) const {
    throw FileFormatError(file_, begin_, std::move(expected), std::move(found));
  }

  [[noreturn]] void refuse(std::uint8_t opcode) const {
    const char* const known = pickle::refused(opcode);
    fail("a pickle of plain data, which runs nothing",
         known != nullptr ? fmt::format("the opcode {}", known)
                          : fmt::format("0x{:02x}, no opcode that is known", opcode));
  }

  std::string_view take(std::uint64_t count, const char* what) {
    const std::uint64_t left = text_.size() - at_;
    if (count > left) {
      throw FileFormatError(file_, at_, fmt::format("{}, {} bytes", what, count),
                            fmt::format("{} bytes to the end of the file", left));
    }
    const std::string_view part = text_.substr(at_, count);
    at_ += count;
    return part;
  }

  /// Lowest byte first.
  std::uint64_t number(std::size_t width) {
    std::uint64_t value = 0;
    const std::string_view part = take(width, "a number");
    for (std::size_t i = 0; i < width; ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(part[i])} << (8 * i);
    }
    return value;
  }

  void push(Index value) { stack_.push_back(value); }

  /// How many values lie above the last mark.
  std::size_t above_mark() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  Index pop() {
    if (above_mark() == 0) fail("a value on the stack", "none");
    const Index value = stack_.back();
    stack_.pop_back();
    return value;
  }

  Index top() const {
    if (above_mark() == 0) fail("a value on the stack", "none");
    return stack_.back();
  }

  /// Gives what lies above the last mark to use, and drops both.
  template <typename Use>
  void with_marked(Use use) {
    if (marks_.empty()) fail("a mark on the stack", "none");
    const std::size_t mark = marks_.back();
    marks_.pop_back();
    const std::vector<Index> items(stack_.begin() + static_cast<std::ptrdiff_t>(mark), stack_.end());
    stack_.resize(mark);
    use(items);
  }

  void append_to_top(ValueKind kind, const std::vector<Index>& items) {
    const Index value = top();
    if (tree_.kind(value) != kind) {
      fail(fmt::format("{} to add to", to_string(kind)), to_string(tree_.kind(value)));
    }
    if (kind == ValueKind::dict && items.size() % 2 != 0) fail("a value for each key", "one key more");
    tree_.append(value, items.data(), items.size());
  }

  void make(ValueKind kind, const std::vector<Index>& items) {
    if (kind == ValueKind::dict && items.size() % 2 != 0) fail("a value for each key", "one key more");
    const Index value = tree_.add(kind, begin_);
    tree_.append(value, items.data(), items.size());
    push(value);
  }

  void make_tuple(std::size_t count) {
    std::vector<Index> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    make(ValueKind::tuple, items);
  }

  void string(ValueKind kind, std::size_t width) {
    const std::uint64_t length = number(width);
    push(tree_.add_string(kind, take(length, kind == ValueKind::string ? "a string" : "bytes"), begin_));
  }

  void natural(std::uint64_t value) { push(tree_.add_natural(value, begin_)); }

  /// Two's complement of any length, lowest byte first.
  void long_integer(std::size_t width) {
    std::string_view digits = take(number(width), "a number");
    const bool negative = !digits.empty() && (static_cast<unsigned char>(digits.back()) & 0x80U) != 0;
    while (!digits.empty() && digits.back() == '\0') digits.remove_suffix(1);
    if (negative || digits.size() > 8) {
      push(tree_.add(ValueKind::number, begin_));
      return;
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(digits[i])} << (8 * i);
    }
    natural(value);
  }

  /// Each of these returns false for an opcode that is not one of its kind.
  bool scalar(std::uint8_t opcode) {
    switch (opcode) {
      case pickle::kNone: push(tree_.add(ValueKind::null, begin_)); return true;
      case pickle::kNewTrue:
      case pickle::kNewFalse: push(tree_.add(ValueKind::boolean, begin_)); return true;
      case pickle::kBinInt1: natural(number(1)); return true;
      case pickle::kBinInt2: natural(number(2)); return true;
      case pickle::kBinInt: {
        const std::uint64_t value = number(4);
        if (value >> 31U != 0) {
          push(tree_.add(ValueKind::number, begin_));
        } else {
          natural(value);
        }
        return true;
      }
      case pickle::kLong1: long_integer(1); return true;
      case pickle::kLong4: long_integer(4); return true;
      case pickle::kBinFloat:
        take(8, "a number");
        push(tree_.add(ValueKind::number, begin_));
        return true;
      case pickle::kShortBinString:
      case pickle::kShortBinUnicode: string(ValueKind::string, 1); return true;
      case pickle::kBinString:
      case pickle::kBinUnicode: string(ValueKind::string, 4); return true;
      case pickle::kBinUnicode8: string(ValueKind::string, 8); return true;
      case pickle::kShortBinBytes: string(ValueKind::bytes, 1); return true;
      case pickle::kBinBytes: string(ValueKind::bytes, 4); return true;
      case pickle::kBinBytes8:
      case pickle::kByteArray8: string(ValueKind::bytes, 8); return true;
      default: return false;
    }
  }

  bool container(std::uint8_t opcode) {
    switch (opcode) {
      case pickle::kEmptyList: make(ValueKind::list, {}); return true;
      case pickle::kEmptyTuple: make(ValueKind::tuple, {}); return true;
      case pickle::kEmptyDict: make(ValueKind::dict, {}); return true;
      case pickle::kTuple1: make_tuple(1); return true;
      case pickle::kTuple2: make_tuple(2); return true;
      case pickle::kTuple3: make_tuple(3); return true;
      case pickle::kList: with_marked([&](const auto& items) { make(ValueKind::list, items); }); return true;
      case pickle::kTuple:
        with_marked([&](const auto& items) { make(ValueKind::tuple, items); });
        return true;
      case pickle::kDict: with_marked([&](const auto& items) { make(ValueKind::dict, items); }); return true;
      case pickle::kAppend: append_to_top(ValueKind::list, {pop()}); return true;
      case pickle::kAppends:
        with_marked([&](const auto& items) { append_to_top(ValueKind::list, items); });
        return true;
      case pickle::kSetItem: {
        const Index value = pop();
        const Index key = pop();
        append_to_top(ValueKind::dict, {key, value});
        return true;
      }
      case pickle::kSetItems:
        with_marked([&](const auto& items) { append_to_top(ValueKind::dict, items); });
        return true;
      default: return false;
    }
  }

  bool machine(std::uint8_t opcode) {
    switch (opcode) {
      case pickle::kProto:
        if (const std::uint64_t protocol = number(1); protocol < 2 || protocol > 5) {
          fail("protocol 2 to 5", std::to_string(protocol));
        }
        return true;
      case pickle::kFrame:
        // What a frame holds is read as it comes; its length need only be possible.
        if (const std::uint64_t length = number(8); length > text_.size() - at_) {
          fail("a frame that ends in the file",
               fmt::format("{} bytes, of {} to its end", length, text_.size() - at_));
        }
        return true;
      case pickle::kMark:
        if (marks_.size() == kMaxPickleMarks)
          fail(fmt::format("at most {} open marks", kMaxPickleMarks), "more");
        marks_.push_back(stack_.size());
        return true;
      case pickle::kPop:
        // Python drops a mark in this way too.
        if (above_mark() == 0 && !marks_.empty()) {
          marks_.pop_back();
        } else {
          pop();
        }
        return true;
      case pickle::kPopMark: with_marked([](const auto&) {}); return true;
      case pickle::kDup: push(top()); return true;
      case pickle::kBinPut: put(number(1)); return true;
      case pickle::kLongBinPut: put(number(4)); return true;
      case pickle::kMemoize: put(memo_.size()); return true;
      case pickle::kBinGet: get(number(1)); return true;
      case pickle::kLongBinGet: get(number(4)); return true;
      case pickle::kStop: ended_ = true; return true;
      default: return false;
    }
  }

  /// Picklers count up, so an entry's number is below the byte that makes it; that bounds the memo by the
  /// file.
  void put(std::uint64_t number) {
    if (number >= begin_) {
      fail("memo entries numbered from 0 up", fmt::format("entry {} at byte {}", number, begin_));
    }
    const Index value = top();
    if (number >= memo_.size()) memo_.resize(number + 1, ValueTree::kNone);
    memo_[number] = value;
  }

  void get(std::uint64_t number) {
    if (number >= memo_.size() || memo_[number] == ValueTree::kNone) {
      fail("a memo entry that was made before", fmt::format("entry {}", number));
    }
    push(memo_[number]);
  }

  const std::string& file_;
  std::string_view text_;
  std::uint64_t at_ = 0;
  std::uint64_t begin_ = 0;  // of the opcode at hand
  bool ended_ = false;
  ValueTree tree_;
  std::vector<Index> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::vector<Index> memo_;
};

}  // namespace

PickledValue read_pickle(std::span<const std::byte> bytes, const std::string& file) {
  if (!is_pickle(bytes)) throw FileFormatError(file, 0, "a pickle of protocol 2 to 5", "something else");
  if (bytes.size() > ValueTree::kMaxFile) {
    throw FileFormatError(file, 0, fmt::format("a pickle of at most {} bytes", ValueTree::kMaxFile),
                          std::to_string(bytes.size()));
  }
  return PickleMachine(file, bytes).read();
}

}  // namespace millrace::tool
