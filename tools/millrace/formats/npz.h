// NumPy's .npz format: a ZIP archive of .npy files, stored or deflated.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace millrace::tool {

/// The arrays of a whole file, each named as its member without .npy, in the order of their bytes.
/// file: for errors.
///
/// Elements of stored members are ranges of the file; their checksums are not looked at, as it would
/// take reading everything twice. Of deflated members only the header is unpacked here. Throws
/// FileFormatError for what parse_zip and parse_npy refuse, and for members that are no .npy.
///
/// Thread safety: a pure function; bytes must not change meanwhile.
std::vector<TensorEntry> parse_npz(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
