// Sizes as people write them: "64MiB", "1.5GB", "4096".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::tool {

/// KiB, MiB, GiB and TiB are powers of 1024, and so are K, M, G and T; kB, MB, GB and TB are powers of
/// 1000. Case does not matter. Nothing for anything else, and past 2^63.
std::optional<std::uint64_t> parse_byte_size(std::string_view text);

/// "1.5 GiB": powers of 1024, two or three digits.
std::string format_byte_size(std::uint64_t bytes);

/// "1,234,567".
std::string format_count(std::uint64_t value);

}  // namespace millrace::tool
