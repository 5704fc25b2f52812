#include "formats/json_tree.h"

#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/file_format_error.h"
#include "formats/json_text.h"

namespace millrace::tool {
namespace {

using nlohmann::json;
using Index = ValueTree::Index;

/// Takes the parser's events. Containers that are open keep their items aside: they are appended in one run.
class TreeBuilder final : public nlohmann::json_sax<json> {
 public:
  TreeBuilder(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  JsonValue read() {
    json::sax_parse(CountingIterator(text_.data(), &furthest_),
                    CountingIterator(text_.data() + text_.size(), &furthest_), this);
    return {std::move(tree_), root_};
  }

  bool null() override { return value(tree_.add(ValueKind::null, here())); }
  bool boolean(bool) override { return value(tree_.add(ValueKind::boolean, here())); }
  bool number_integer(number_integer_t) override { return value(tree_.add(ValueKind::number, here())); }
  bool number_unsigned(number_unsigned_t number) override { return value(tree_.add_natural(number, here())); }
  bool number_float(number_float_t, const string_t&) override {
    return value(tree_.add(ValueKind::number, here()));
  }
  bool string(string_t& text) override { return value(tree_.add_copied_string(text, here())); }
  bool key(string_t& text) override { return value(tree_.add_copied_string(text, here())); }
  bool binary(binary_t&) override { return value(tree_.add(ValueKind::bytes, here())); }
  bool start_object(std::size_t) override { return open(ValueKind::dict); }
  bool start_array(std::size_t) override { return open(ValueKind::list); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    throw FileFormatError(file_, position > 0 ? position - 1 : 0, "a JSON document",
                          "text that is not: " + json_complaint(error.what()));
  }

 private:
  struct Open {
    Index container;
    std::size_t begin;  // of its items in items_
  };

  std::uint64_t here() const {
    const auto read = static_cast<std::uint64_t>(furthest_ - text_.data());
    return read > 0 ? read - 1 : 0;
  }

  bool value(Index index) {
    if (open_.empty()) {
      root_ = index;
    } else {
      items_.push_back(index);
    }
    return true;
  }

  bool open(ValueKind kind) {
    if (open_.size() == kMaxJsonDepth) {
      throw FileFormatError(file_, here(), fmt::format("values nested at most {} deep", kMaxJsonDepth),
                            "more");
    }
    const Index container = tree_.add(kind, here());
    value(container);
    open_.push_back({container, items_.size()});
    return true;
  }

  bool close() {
    const Open last = open_.back();
    open_.pop_back();
    tree_.append(last.container, items_.data() + last.begin, items_.size() - last.begin);
    items_.resize(last.begin);
    return true;
  }

  const std::string& file_;
  std::string_view text_;
  const char* furthest_ = text_.data();
  ValueTree tree_;
  Index root_ = ValueTree::kNone;
  std::vector<Open> open_;
  std::vector<Index> items_;
};

}  // namespace

JsonValue read_json_tree(std::span<const std::byte> bytes, const std::string& file) {
  if (bytes.size() > ValueTree::kMaxFile) {
    throw FileFormatError(file, 0, fmt::format("a document of at most {} bytes", ValueTree::kMaxFile),
                          std::to_string(bytes.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  // The JSON reader takes a zero byte for the end of the text; what follows it would go unchecked.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw FileFormatError(file, zero, "JSON text", "a zero byte");
  }
  return TreeBuilder(file, text).read();
}

}  // namespace millrace::tool
