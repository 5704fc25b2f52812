// The directory of a ZIP archive: which members there are, and where their bytes lie.
//
// Strict: what the central directory says must be what the members' own headers say, and members may not
// overlap; no number of the file is used before it was checked against the size of the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::tool {

/// How the two kinds of ZIP archives begin: with a member, or, without members, with the end record.
inline constexpr std::string_view kZipMember = "PK\x03\x04";
inline constexpr std::string_view kZipEmpty = "PK\x05\x06";

struct ZipMember {
  std::string name;          ///< as the archive spells it; a folder's ends with '/'
  std::uint64_t header = 0;  ///< where its own header begins, from the start of the file
  std::uint64_t offset = 0;  ///< of its first byte as stored
  std::uint64_t packed = 0;  ///< bytes in the file; offset + packed is within it
  std::uint64_t bytes = 0;   ///< bytes unpacked: a claim, but for members that are not deflated
  std::uint32_t crc = 0;     ///< of the unpacked bytes
  bool deflated = false;
};

/// The members of a whole file, in the order of their bytes. file: for errors.
///
/// Knows zip64, stored and deflated members, and members whose sizes were written after their data.
/// Throws FileFormatError for everything else: other methods, encryption, archives in several parts,
/// members that overlap or share a name, sizes that cannot be true.
///
/// Thread safety: a pure function; bytes must not change meanwhile.
std::vector<ZipMember> parse_zip(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
