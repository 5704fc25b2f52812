#include "compare_match.h"

#include <filesystem>
#include <unordered_map>

#include <fmt/format.h>

#include "formats/file_format_error.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

using Names = std::unordered_map<std::string, TensorPlace>;

Names names_of(const std::vector<TensorFile>& files) {
  Names names;
  for (std::size_t file = 0; file < files.size(); ++file) {
    for (const TensorEntry& entry : files[file].tensors) {
      const auto [had, inserted] = names.emplace(entry.name, TensorPlace{file, &entry});
      if (inserted) continue;
      const auto path = [&](std::size_t i) { return printable(files[i].path, files[i].path.size()); };
      throw UsageError(
          fmt::format("--compare: expected one checkpoint on each side, found tensor \"{}\" in both {} and "
                      "{}; name files "
                      "or a folder that have each name once",
                      printable(entry.name), path(had->second.file), path(file)));
    }
  }
  return names;
}

/// One tensor with no name but the file's.
bool is_single_array(const std::vector<TensorFile>& files) {
  return files.size() == 1 && files[0].tensors.size() == 1 &&
         files[0].tensors[0].name == std::filesystem::path(files[0].path).stem().string();
}

}  // namespace

std::vector<TensorPair> match_tensors(const std::vector<TensorFile>& first,
                                      const std::vector<TensorFile>& second) {
  if (is_single_array(first) && is_single_array(second)) {
    const TensorEntry& entry = first[0].tensors[0];
    return {{entry.name, {0, &entry}, {0, &second[0].tensors[0]}}};
  }
  names_of(first);
  Names others = names_of(second);
  std::vector<TensorPair> pairs;
  for (std::size_t file = 0; file < first.size(); ++file) {
    for (const TensorEntry& entry : first[file].tensors) {
      const auto other = others.find(entry.name);
      pairs.push_back({entry.name, {file, &entry}, other == others.end() ? TensorPlace() : other->second});
      if (other != others.end()) others.erase(other);
    }
  }
  for (std::size_t file = 0; file < second.size(); ++file) {
    for (const TensorEntry& entry : second[file].tensors) {
      if (others.contains(entry.name)) pairs.push_back({entry.name, {}, {file, &entry}});
    }
  }
  return pairs;
}

}  // namespace millrace::tool
