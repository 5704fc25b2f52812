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

/// Where the packed form of a tensor lies. The numbers but offset and bytes are claims: unpacked is for
/// counting what is streamed, never for allocating.
struct Deflated {
  std::uint64_t offset = 0;    ///< of the first packed byte, from the start of the file
  std::uint64_t bytes = 0;     ///< packed; offset + bytes is within the file
  std::uint64_t unpacked = 0;  ///< bytes that come out, skip among them
  std::uint64_t skip = 0;      ///< unpacked bytes before the first element
  std::uint32_t crc = 0;       ///< of all unpacked bytes
};

/// One tensor of a file. Its elements are dense, at any alignment: offset + bytes is within the file, and
/// bytes is the product of shape times the size of dtype. A deflated tensor's elements are not in the
/// file as such; InflateReader streams them.
struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  bool fortran_order = false;  ///< the first dimension is dense instead of the last
  std::uint64_t offset = 0;    ///< of the first byte, from the start of the file; 0 if deflated
  std::uint64_t bytes = 0;     ///< of the elements, unpacked
  std::optional<Deflated> deflated;

  std::uint64_t elements() const { return bytes / size_of(dtype); }
};

/// A file and the tensors in it, in the order of their bytes.
struct TensorFile {
  std::string path;
  FileIdentity identity;
  std::vector<TensorEntry> tensors;
};

/// Reads the list of tensors of a .safetensors, .npz or .npy file, the format told by its content first
/// and its name second. Throws FileFormatError, for pickles (.pt, .bin) with the reason.
TensorFile read_tensor_list(const std::string& path);

/// Every file that paths mean: files as they are, folders by what .safetensors, .npz and .npy files and
/// indexes of sharded checkpoints are below them, sorted by path. Throws FileFormatError for a path that
/// does not exist and for a folder with none.
std::vector<std::string> find_tensor_files(const std::vector<std::string>& paths);

/// The lists of every file that paths mean, in that order. An index stands for its shards; a shard that
/// an index of the same folder lists is taken through it only, and once. Throws as the two above do.
std::vector<TensorFile> read_tensor_lists(const std::vector<std::string>& paths);

/// The bytes that elements of a shape take; nothing when that is past 2^63 - 1.
std::optional<std::uint64_t> checked_bytes(std::span<const std::int64_t> shape,
                                           std::size_t element_size) noexcept;

/// "[3, 4]".
std::string format_shape(std::span<const std::int64_t> shape);

}  // namespace millrace::tool
