// NumPy's .npy format, versions 1 to 3: a magic, a Python dict as text, one array's bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/tensor_file.h"

namespace millrace::tool {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";
/// What tells how long the header is: the magic, the version, the length, in the longer form.
inline constexpr std::size_t kNpyPreamble = 12;
/// NumPy itself refuses headers past 10,000 bytes unless told otherwise; ours hold a shape and a type.
inline constexpr std::uint64_t kMaxNpyHeader = 65'536;

/// The one array of a whole file, named after the file. file: for errors and the name.
///
/// C and Fortran order; little-endian only. Throws FileFormatError, for arrays of objects (which are
/// pickles) with the reason, and for element types that NumPy knows and Millrace has not.
///
/// Thread safety: a pure function; bytes must not change meanwhile.
TensorEntry parse_npy(std::span<const std::byte> bytes, const std::string& file);

/// The same for an array of which only the head has been unpacked: bytes is its beginning, at least
/// npy_head_bytes of it or all, and total is the size of the whole. The tensor has no name, and its
/// offset counts from the beginning of the array.
TensorEntry parse_npy_head(std::span<const std::byte> bytes, std::uint64_t total, const std::string& file);

/// How many bytes come before the elements, told from the first kNpyPreamble bytes, or from fewer if
/// there are no more. Bounded, whatever the bytes claim; may be past the end of a damaged array.
std::size_t npy_head_bytes(std::span<const std::byte> start);

}  // namespace millrace::tool
