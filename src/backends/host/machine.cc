#include "backends/host/machine.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

#include "sync/thread.h"

namespace millrace::host {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The number at the start of the text; none ("max", an empty text) counts as no limit.
std::size_t number_or_unlimited(const std::string& text) {
  std::size_t value = SIZE_MAX;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The limit of a group and of all above it: each of them binds.
std::size_t limit_upwards(const std::string& root, std::string group, const char* file) {
  std::size_t limit = SIZE_MAX;
  for (;;) {
    limit = std::min(limit, number_or_unlimited(read_text(root + group + "/" + file)));
    if (group.empty()) return limit;
    group.erase(std::min(group.find_last_of('/'), group.size()));
  }
}

}  // namespace

std::size_t cgroup_memory_limit(const std::string& groups, const std::string& root) {
  std::size_t limit = SIZE_MAX;
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // hierarchy:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") {
      limit = std::min(limit, limit_upwards(root, path, "memory.max"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      limit = std::min(limit, limit_upwards(root + "/memory", path, "memory.limit_in_bytes"));
    }
  }
  return limit;
}

std::size_t machine_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  const std::size_t physical = static_cast<std::size_t>(pages) * static_cast<std::size_t>(page);
  return std::min(physical, cgroup_memory_limit(read_text("/proc/self/cgroup"), "/sys/fs/cgroup"));
}

std::string machine_description() {
  std::string name = "CPU";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) name = line.substr(colon + 2);
    break;
  }
  const unsigned cores = sync::hardware_threads();
  return name + ", " + std::to_string(cores) + (cores == 1 ? " core" : " cores");
}

std::size_t mapping_limit() {
  constexpr std::size_t kUsual = 65530;
  const std::size_t limit = number_or_unlimited(read_text("/proc/sys/vm/max_map_count"));
  return limit == SIZE_MAX ? kUsual : limit;
}

}  // namespace millrace::host
