// Which tensor of one checkpoint is held against which of another.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace millrace::tool {

/// One tensor of a list of files.
struct TensorPlace {
  std::size_t file = 0;
  const TensorEntry* entry = nullptr;  ///< null: the checkpoint has none of that name
};

/// The tensors of one name.
struct TensorPair {
  std::string name;
  TensorPlace first;
  TensorPlace second;

  bool in_both() const noexcept { return first.entry != nullptr && second.entry != nullptr; }
  bool same_shape() const noexcept { return in_both() && first.entry->shape == second.entry->shape; }
  /// Are elements of the same place at different places of the two files? Of tensors of the same shape.
  bool orders_differ() const noexcept {
    return first.entry->fortran_order != second.entry->fortran_order && first.entry->shape.size() > 1;
  }
  /// Is one of them unpacked from front to back?
  bool is_deflated() const noexcept { return first.entry->deflated || second.entry->deflated; }
  /// Two deflated tensors of different orders can't be walked side by side.
  bool comparable() const noexcept {
    return same_shape() && !(orders_differ() && first.entry->deflated && second.entry->deflated);
  }
};

/// Pairs by name, in the order of the first checkpoint, then what only the second has, in its order. Two
/// .npy files are a pair whatever they are called: their names are the files'.
///
/// Throws UsageError when a checkpoint has a name twice: it must be one, as its parts or its folder.
std::vector<TensorPair> match_tensors(const std::vector<TensorFile>& first,
                                      const std::vector<TensorFile>& second);

}  // namespace millrace::tool
