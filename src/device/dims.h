// What layers need to do with lists of dimensions beyond the public vocabulary.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <string>

#include <millrace/tensor.h>

namespace millrace {

/// "[2, 3]", for messages.
std::string to_text(std::span<const std::int64_t> values);
std::string to_text(const Dims& dims);

/// Which dimensions of shape are meant by dims: negative ones count from the end, none means all.
/// Throws InvalidArgument on a dimension out of range or named twice.
std::bitset<kMaxDims> select_dims(const Dims& shape, std::span<const std::int64_t> dims);

}  // namespace millrace
