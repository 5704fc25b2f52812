// NumPy's .npy format, versions 1 to 3: a magic, a Python dict as text, one array's bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "formats/tensor_file.h"

namespace millrace::tool {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

/// The one array of a whole file, named after the file. file: for errors and the name.
///
/// C and Fortran order; little-endian only. Throws FileFormatError, for arrays of objects (which are
/// pickles) with the reason, and for element types that NumPy knows and Millrace has not.
///
/// Thread safety: a pure function; bytes must not change meanwhile.
TensorEntry parse_npy(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
