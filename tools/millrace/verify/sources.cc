#include "verify/sources.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "verify/sha256.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigits = 64;

struct List {
  std::vector<std::string> named, excluded, excluded_ends;
};

List read_list(const fs::path& root) {
  List list;
  std::istringstream lines(read_file(root / kSourceList));
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::min(line.find('#'), line.size()));
    line.erase(line.find_last_not_of(" \t\r/") + 1);
    if (line.empty()) continue;
    if (line.starts_with("!*")) {
      list.excluded_ends.push_back(line.substr(2));
    } else if (line.starts_with("!")) {
      list.excluded.push_back(line.substr(1));
    } else {
      list.named.push_back(line);
    }
  }
  return list;
}

/// What editors, patch and Python leave behind.
bool is_leftover(std::string_view name) {
  return name.starts_with(".") || name.ends_with("~") || name.ends_with(".orig") || name.ends_with(".rej") ||
         name.ends_with(".pyc") || name == "__pycache__";
}

bool is_excluded(const List& list, const std::string& path) {
  const auto is_end = [&](const std::string& end) { return path.ends_with(end); };
  return std::ranges::find(list.excluded, path) != list.excluded.end() ||
         std::ranges::any_of(list.excluded_ends, is_end);
}

}  // namespace

Sources::Sources(const fs::path& root) {
  const List list = read_list(root);
  const auto take = [&](const fs::path& path) {
    files_[path.lexically_relative(root).generic_string()] = sha256_of_file(path);
  };
  for (const std::string& named : list.named) {
    const fs::path path = root / named;
    if (fs::is_regular_file(path)) {
      take(path);
      continue;
    }
    if (!fs::is_directory(path)) {
      throw std::runtime_error(fmt::format("{} names {}, which is neither a file nor a folder of {}",
                                           kSourceList, named, root.string()));
    }
    for (auto entry = fs::recursive_directory_iterator(path); entry != fs::end(entry); ++entry) {
      const std::string below = entry->path().lexically_relative(root).generic_string();
      if (is_leftover(entry->path().filename().string()) || is_excluded(list, below)) {
        entry.disable_recursion_pending();
      } else if (entry->is_regular_file()) {
        take(entry->path());
      }
    }
  }
}

Sources Sources::from_manifest(const std::string& text) {
  Sources sources;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.size() < kDigits + 3 || line.substr(kDigits, 2) != "  ") {
      throw std::runtime_error(
          fmt::format("expected a manifest's line: a digest, two blanks, a path; found \"{}\"", line));
    }
    sources.files_[line.substr(kDigits + 2)] = line.substr(0, kDigits);
  }
  return sources;
}

std::string Sources::manifest() const {
  std::string text;
  for (const auto& [path, digest] : files_) text += fmt::format("{}  {}\n", digest, path);
  return text;
}

std::string Sources::digest() const {
  return sha256(manifest());
}

}  // namespace millrace::tool
