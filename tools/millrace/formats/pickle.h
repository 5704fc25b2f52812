// Python's pickles: not read, but known when seen, so that the refusal can say why.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace millrace::tool {

/// What to say of one, after "found".
inline constexpr const char* kPickleRefusal =
    "a pickle, which is refused: loading one runs whatever code its author put there";

/// Whether a file of this name is one: .pt, .bin and the like.
bool is_pickle_name(const std::filesystem::path& path);

/// Whether the bytes are those of one.
bool is_pickle(std::span<const std::byte> bytes);

}  // namespace millrace::tool
