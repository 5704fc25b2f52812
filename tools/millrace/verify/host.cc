#include "verify/host.h"

#include <sys/stat.h>

#include <fstream>
#include <thread>

#include <fmt/chrono.h>

#include "verify/child.h"
#include "verify/sha256.h"
#include "verify/sources.h"

namespace millrace::tool {
namespace {

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

#if defined(__clang__)
constexpr const char* kCompiler = __VERSION__;
#else
constexpr const char* kCompiler = "GCC " __VERSION__;
#endif

}  // namespace

Host this_host() {
  return {cpu_model(), std::thread::hardware_concurrency()};
}

Binary this_binary() {
  struct stat info {};
  const std::string path = "/proc/self/exe";
  std::string built;
  if (::stat(path.c_str(), &info) == 0)
    built = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(info.st_mtime));
  return {sha256_of_file(path), built, built_from(), kCompiler};
}

std::string revision_of(const std::filesystem::path& root) {
  const ChildResult said =
      run_child({.arguments = {"git", "describe", "--always", "--dirty", "--abbrev=12"},
                 .environment = {"GIT_CEILING_DIRECTORIES=" + root.parent_path().string()},
                 .folder = root});
  return said.succeeded() ? said.output.substr(0, said.output.find('\n')) : std::string();
}

}  // namespace millrace::tool
