// The safetensors format: eight bytes of header length, a JSON header, the tensors' bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace millrace::tool {

/// The limit of the format's reference reader.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;

/// The tensors of a whole file, in the order of their bytes. file: for errors.
///
/// Held to the format's rules: a header that is a JSON object and nothing else, no duplicate keys, and
/// ranges that tile the rest of the file without hole or overlap. Throws FileFormatError, also for
/// element types that the format knows and Millrace has not.
///
/// Thread safety: a pure function; bytes must not change meanwhile.
std::vector<TensorEntry> parse_safetensors(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
