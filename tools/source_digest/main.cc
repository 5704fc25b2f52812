// source_digest: run at the beginning of each build, writes down which sources it is about to compile.
//
//   source_digest ROOT MANIFEST SOURCE PROGRAMS
//
// MANIFEST gets a line for each source. SOURCE gets C++ that defines built_from(), and is left as it is when
// nothing has changed, so that nothing is linked again. PROGRAMS is the folder of what was built before.
//
// A build tool goes by times: a file that changed but is older than what was built from it (moved back from
// elsewhere, say) is not compiled again. Such a file is given the present time here, which the next build
// sees; this build does not know any more what it is made from, and says that by an empty digest.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "verify/sha256.h"
#include "verify/sources.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;

fs::file_time_type newest(const fs::path& folder) {
  fs::file_time_type time = fs::file_time_type::min();
  if (!fs::is_directory(folder)) return time;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) time = std::max(time, entry.last_write_time());
  }
  return time;
}

/// Sources that have changed since the manifest was written, and are older than what was built then.
std::vector<fs::path> overlooked(const fs::path& root, const Sources& now, const fs::path& manifest,
                                 const fs::path& programs) {
  std::vector<fs::path> files;
  if (!fs::exists(manifest)) return files;
  const Sources before = Sources::from_manifest(read_file(manifest));
  const fs::file_time_type built = std::max(fs::last_write_time(manifest), newest(programs));
  for (const auto& [path, digest] : now.files()) {
    const auto known = before.files().find(path);
    const bool changed = known != before.files().end() && known->second != digest;
    if (changed && fs::last_write_time(root / path) <= built) files.push_back(root / path);
  }
  return files;
}

void write_if_changed(const fs::path& path, const std::string& text) {
  if (fs::exists(path) && read_file(path) == text) return;
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw std::runtime_error(fmt::format("cannot write {}", path.string()));
}

void write_down(const fs::path& root, const fs::path& manifest, const fs::path& source,
                const fs::path& programs) {
  const Sources sources(root);
  const std::vector<fs::path> late = overlooked(root, sources, manifest, programs);
  for (const fs::path& path : late) {
    fs::last_write_time(path, fs::file_time_type::clock::now());
    fmt::print(stderr, "source_digest: {} changed, but its time did not: it is set now, build again\n",
               path.string());
  }
  write_if_changed(manifest, sources.manifest());
  write_if_changed(source, fmt::format("#include \"verify/sources.h\"\n\n"
                                       "std::string millrace::tool::built_from() {{\n  return \"{}\";\n}}\n",
                                       late.empty() ? sources.digest() : ""));
}

}  // namespace
}  // namespace millrace::tool

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: source_digest ROOT MANIFEST SOURCE PROGRAMS\n");
    return 2;
  }
  try {
    millrace::tool::write_down(argv[1], argv[2], argv[3], argv[4]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "source_digest: %s\n", error.what());
    return 1;
  }
  return 0;
}
