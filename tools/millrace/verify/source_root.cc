#include <filesystem>

#include <fmt/format.h>

#include "usage_error.h"
#include "verify/sources.h"

namespace millrace::tool {

std::filesystem::path find_source_root() {
  namespace fs = std::filesystem;
  for (const fs::path& start : {fs::current_path(), fs::read_symlink("/proc/self/exe").parent_path()}) {
    for (fs::path folder = start;; folder = folder.parent_path()) {
      if (fs::exists(folder / kSourceList)) return folder;
      if (folder == folder.parent_path()) break;
    }
  }
  throw UsageError(
      fmt::format("no folder above {} or above this program has {}: name the sources with --source",
                  fs::current_path().string(), kSourceList));
}

}  // namespace millrace::tool
