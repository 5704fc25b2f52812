#include "formats/value_tree.h"

namespace millrace::tool {

const char* to_string(ValueKind kind) noexcept {
  switch (kind) {
    case ValueKind::null: return "None";
    case ValueKind::boolean: return "a bool";
    case ValueKind::natural: return "a whole number";
    case ValueKind::number: return "a number that is negative, broken or past 2^64";
    case ValueKind::string: return "a string";
    case ValueKind::bytes: return "bytes";
    case ValueKind::list: return "a list";
    case ValueKind::tuple: return "a tuple";
    case ValueKind::dict: return "a dict";
  }
  return "a value";
}

ValueTree::Value& ValueTree::push(ValueKind kind, std::uint64_t at) {
  Value& value = values_.emplace_back();
  value.kind = kind;
  value.at = static_cast<Index>(at);
  return value;
}

ValueTree::Index ValueTree::add(ValueKind kind, std::uint64_t at) {
  push(kind, at);
  return static_cast<Index>(values_.size() - 1);
}

ValueTree::Index ValueTree::add_natural(std::uint64_t value, std::uint64_t at) {
  push(ValueKind::natural, at).payload = value;
  return static_cast<Index>(values_.size() - 1);
}

ValueTree::Index ValueTree::add_string(ValueKind kind, std::string_view part, std::uint64_t at) {
  Value& value = push(kind, at);
  value.payload = static_cast<std::uint64_t>(part.data() - text_.data());
  value.length = static_cast<Index>(part.size());
  return static_cast<Index>(values_.size() - 1);
}

ValueTree::Index ValueTree::add_copied_string(std::string_view string, std::uint64_t at) {
  Value& value = push(ValueKind::string, at);
  value.payload = copies_.size();
  value.length = static_cast<Index>(string.size());
  value.copied = true;
  copies_ += string;
  return static_cast<Index>(values_.size() - 1);
}

void ValueTree::append(Index container, const Index* items, std::size_t count) {
  if (count == 0) return;
  Value& value = values_[container];
  value.payload += count;
  const auto begin = static_cast<Index>(items_.size());
  items_.insert(items_.end(), items, items + count);
  if (value.last_run != kNone) {
    Run& last = runs_[value.last_run];
    if (last.begin + last.count == begin) {
      last.count += static_cast<Index>(count);
      return;
    }
  }
  const auto run = static_cast<Index>(runs_.size());
  runs_.push_back({begin, static_cast<Index>(count), kNone});
  (value.last_run == kNone ? value.first_run : runs_[value.last_run].next) = run;
  value.last_run = run;
}

std::string_view ValueTree::string(Index value) const {
  const Value& v = values_[value];
  return (v.copied ? std::string_view(copies_) : text_).substr(v.payload, v.length);
}

ValueTree::Index ValueTree::find(Index dict, std::string_view key) const {
  Index found = kNone;
  bool is_key = true, matches = false;
  for_each(dict, [&](Index item) {
    if (is_key) {
      matches = kind(item) == ValueKind::string && string(item) == key;
    } else if (matches) {
      found = item;
    }
    is_key = !is_key;
  });
  return found;
}

}  // namespace millrace::tool
