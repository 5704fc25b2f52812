// Pickles of plain data, read without running anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "formats/value_tree.h"

namespace millrace::tool {

/// More open marks than any nesting of plain data needs.
inline constexpr std::size_t kMaxPickleMarks = 256;

struct PickledValue {
  ValueTree tree;
  ValueTree::Index root = ValueTree::kNone;
};

/// Reads a pickle of protocol 2 to 5 that is made of dicts, lists, tuples, strings, bytes, numbers, booleans
/// and None. What follows its end is not looked at, as in Python. file: for errors.
///
/// Throws FileFormatError for any opcode that would name something of a program, call it or ask for what is
/// outside of the file, with its name and offset: such a pickle is code, and is not run.
///
/// Thread safety: a pure function; bytes must not change meanwhile, and must outlive the result.
PickledValue read_pickle(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
