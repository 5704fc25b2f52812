// A JSON document as a tree of plain values.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "formats/value_tree.h"

namespace millrace::tool {

/// Deeper than anything that is logged.
inline constexpr std::size_t kMaxJsonDepth = 64;

struct JsonValue {
  ValueTree tree;
  ValueTree::Index root = ValueTree::kNone;
};

/// Throws FileFormatError unless bytes are a JSON document. file: for errors.
///
/// Thread safety: a pure function; bytes must not change meanwhile.
JsonValue read_json_tree(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
