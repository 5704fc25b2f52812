// The index of a sharded checkpoint, *.safetensors.index.json: which tensor is in which file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace millrace::tool {

/// Indexes of thousands of shards take a few megabytes.
inline constexpr std::uint64_t kMaxSafetensorsIndex = 100'000'000;

struct IndexEntry {
  std::string tensor;
  std::string shard;     ///< a relative path below the index's folder, without "." and ".." in it
  std::uint64_t at = 0;  ///< where the index says so, in bytes
};

/// Whether a file of this name is an index: model.safetensors.index.json, or with a variant's name in
/// it, model.safetensors.index.fp16.json.
bool is_safetensors_index_name(const std::filesystem::path& path);

/// What an index lists, in its order; at least one entry, and no tensor twice. file: for errors.
///
/// Throws FileFormatError unless bytes are a JSON object with a weight_map of names to names of
/// .safetensors files below the index's folder. Other keys are skipped.
///
/// Thread safety: a pure function; bytes must not change meanwhile.
std::vector<IndexEntry> parse_safetensors_index(std::span<const std::byte> bytes, const std::string& file);

/// The shards of an index, sorted by name, which is the order of their numbers: their paths begin with
/// the index's folder. Throws FileFormatError unless every tensor that the index lists is in its shard,
/// and the shards hold no others.
///
/// A shard that is a link may lead out of the folder only to the folder in which the index itself lies,
/// which is a link then too: that is how caches of downloads are laid out.
std::vector<TensorFile> read_safetensors_index(const std::string& path);

}  // namespace millrace::tool
