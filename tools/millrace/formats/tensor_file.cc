#include "formats/tensor_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "formats/extension.h"
#include "formats/file_format_error.h"
#include "formats/npy.h"
#include "formats/npz.h"
#include "formats/pickle.h"
#include "formats/safetensors.h"
#include "formats/safetensors_index.h"
#include "formats/zip.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormats = "a .safetensors, .npz or .npy file";

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

bool is_tensor_file_name(const fs::path& path) {
  const std::string extension = lower_extension(path);
  return extension == ".safetensors" || extension == ".npz" || extension == ".npy" ||
         is_safetensors_index_name(path);
}

[[noreturn]] void refuse_pickle(const std::string& path) {
  throw FileFormatError(path, 0, kFormats,
                        fmt::format("{}; save it again with safetensors.torch.save_file", kPickleRefusal));
}

/// A pickle or an archive of some (torch.save makes those) under the name of a better format. The
/// upper half of a header's length is zero in any file that could be one.
bool is_renamed_pickle(std::span<const std::byte> bytes) {
  if (!is_pickle(bytes) && !starts_with(bytes, kZipMember)) return false;
  return bytes.size() < 8 ||
         std::ranges::any_of(bytes.subspan(4, 4), [](std::byte b) { return b != std::byte{0}; });
}

/// Says what a file is that no reader takes.
[[noreturn]] void refuse(const std::string& path, std::span<const std::byte> bytes) {
  const std::string extension = lower_extension(path);
  if (is_pickle(bytes) || is_pickle_name(path)) refuse_pickle(path);
  if (starts_with(bytes, kZipMember)) {
    throw FileFormatError(path, 0, kFormats,
                          "a zip archive; unpack it and name the folder, or call it .npz if it is one");
  }
  if (extension == ".json" && is_pickle_name(fs::path(path).stem().stem())) {
    throw FileFormatError(path, 0, kFormats,
                          fmt::format("an index of files each of which is {}", kPickleRefusal));
  }
  throw FileFormatError(path, std::nullopt, kFormats,
                        extension.empty() ? "a file of no known format"
                                          : fmt::format("the unknown extension {}", printable(extension)));
}

std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> found;
  std::uint64_t others = 0;
  std::string pickle;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code unreadable;
    if (!entry->is_regular_file(unreadable)) continue;
    if (is_tensor_file_name(entry->path())) {
      found.push_back(entry->path().string());
    } else {
      ++others;
      if (pickle.empty() && is_pickle_name(entry->path())) pickle = entry->path().filename().string();
    }
  }
  if (error) throw FileFormatError(folder, std::nullopt, "a readable folder", error.message());
  if (found.empty()) {
    std::string what = fmt::format("none among {} files", others);
    if (!pickle.empty()) {
      what += fmt::format(" ({} is a pickle, which is refused: loading one can run code)", printable(pickle));
    }
    throw FileFormatError(folder, std::nullopt, ".safetensors, .npz or .npy files in the folder", what);
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace

TensorFile read_tensor_list(const std::string& path) {
  const MappedFile file(path);
  TensorFile result{path, file.identity(), {}};
  const std::string extension = lower_extension(path);
  if (starts_with(file.bytes(), kNpyMagic) || extension == ".npy") {
    result.tensors.push_back(parse_npy(file.bytes(), path));
  } else if (extension == ".npz") {
    result.tensors = parse_npz(file.bytes(), path);
  } else if (extension == ".safetensors") {
    if (is_renamed_pickle(file.bytes())) refuse_pickle(path);
    result.tensors = parse_safetensors(file.bytes(), path);
  } else {
    refuse(path, file.bytes());
  }
  return result;
}

std::vector<std::string> find_tensor_files(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) {
      const bool absent = status.type() == fs::file_type::not_found;
      throw FileFormatError(path, std::nullopt, "a file or a folder",
                            absent ? "nothing of that name" : error.message());
    }
    if (fs::is_directory(status)) {
      const std::vector<std::string> below = files_below(path);
      files.insert(files.end(), below.begin(), below.end());
    } else {
      files.push_back(path);
    }
  }
  return files;
}

std::vector<TensorFile> read_tensor_lists(const std::vector<std::string>& paths) {
  std::vector<TensorFile> lists;
  for (const std::string& path : paths) {
    const std::vector<std::string> files = find_tensor_files({path});
    const auto normal = [](const std::string& file) { return fs::path(file).lexically_normal().string(); };
    // Indexes first: a file can't be told from a shard before all of them are read.
    std::map<std::string, std::vector<TensorFile>> sharded;
    std::set<std::string> shards;
    for (const std::string& file : files) {
      if (!is_safetensors_index_name(file)) continue;
      for (TensorFile& shard : read_safetensors_index(file)) {
        if (shards.insert(normal(shard.path)).second) sharded[file].push_back(std::move(shard));
      }
    }
    for (const std::string& file : files) {
      if (is_safetensors_index_name(file)) {
        std::ranges::move(sharded[file], std::back_inserter(lists));
      } else if (!shards.contains(normal(file))) {
        lists.push_back(read_tensor_list(file));
      }
    }
  }
  return lists;
}

std::optional<std::uint64_t> checked_bytes(std::span<const std::int64_t> shape,
                                           std::size_t element_size) noexcept {
  std::uint64_t bytes = element_size;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dimension), &bytes)) return std::nullopt;
  }
  if (bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
  return bytes;
}

std::string format_shape(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace millrace::tool
