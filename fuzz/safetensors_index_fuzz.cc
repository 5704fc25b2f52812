// libFuzzer target: any bytes either are refused with FileFormatError or name shards that are below the
// index's folder.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <span>
#include <string>

#include "formats/file_format_error.h"
#include "formats/safetensors_index.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace::tool;
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  try {
    std::set<std::string> tensors;
    const std::vector<IndexEntry> entries = parse_safetensors_index(file, "fuzz.safetensors.index.json");
    if (entries.empty()) std::abort();
    for (const IndexEntry& entry : entries) {
      if (!tensors.insert(entry.tensor).second || entry.at >= size) std::abort();
      const std::filesystem::path path(entry.shard);
      if (path.is_absolute() || entry.shard.find('\0') != std::string::npos) std::abort();
      if (std::find(path.begin(), path.end(), std::filesystem::path("..")) != path.end()) std::abort();
    }
  } catch (const FileFormatError& error) {
    if (error.message().find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
