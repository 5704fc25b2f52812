// What the file formats have in common: a file is a list of tensors, each a range of its bytes.
//
// Readers treat files as hostile: no number of a file is used as a size, an offset or a count before
// it was checked against the size of the file, and nothing is allocated from one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <millrace/dtype.h>

#include "formats/mapped_file.h"

namespace millrace::tool {

/// More dimensions than any framework has; bounds what a header can make us keep.
inline constexpr std::size_t kMaxRank = 64;

/// One tensor of a file. Its elements are dense: offset + bytes is within the file, and bytes is the
/// product of shape times the size of dtype.
struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  bool fortran_order = false;  ///< the first dimension is dense instead of the last
  std::uint64_t offset = 0;    ///< of the first byte, from the start of the file
  std::uint64_t bytes = 0;

  std::uint64_t elements() const { return bytes / size_of(dtype); }
};

/// A file and the tensors in it, in the order of their bytes.
struct TensorFile {
  std::string path;
  FileIdentity identity;
  std::vector<TensorEntry> tensors;
};

/// Reads the list of tensors of a .safetensors or .npy file, the format told by its content first and
/// its name second. Throws FileFormatError, for pickles (.pt, .bin) with the reason.
TensorFile read_tensor_list(const std::string& path);

/// Every file that paths mean: files as they are, folders by what .safetensors and .npy files are
/// below them, sorted by path. Throws FileFormatError for a path that does not exist and for a folder
/// with neither.
std::vector<std::string> find_tensor_files(const std::vector<std::string>& paths);

/// The bytes that elements of a shape take; nothing when that is past 2^63 - 1.
std::optional<std::uint64_t> checked_bytes(std::span<const std::int64_t> shape,
                                           std::size_t element_size) noexcept;

/// "[3, 4]".
std::string format_shape(std::span<const std::int64_t> shape);

}  // namespace millrace::tool
