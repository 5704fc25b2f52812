#include "bench_report.h"

#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

namespace millrace::tool {
namespace {

std::string cpu_model() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

nlohmann::ordered_json machine_json() {
  utsname system{};
  ::uname(&system);
  const auto pages = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES));
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return {{"cpu", cpu_model()},
          {"cores", std::thread::hardware_concurrency()},
          {"memory_bytes", pages * page},
          {"system", std::string(system.sysname) + " " + system.release},
          {"architecture", system.machine},
          {"compiler", __VERSION__},
          {"glibc", ::gnu_get_libc_version()}};
}

}  // namespace

nlohmann::ordered_json bench_json(const std::vector<BenchRow>& rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const BenchRow& row : rows) {
    list.push_back(
        {{"bench", row.bench},
         {"case", row.name},
         {"dtype", row.dtype.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(row.dtype)},
         {"impl", row.impl},
         {"threads", row.threads},
         {"value", row.value},
         {"unit", row.unit}});
  }
  return {{"machine", machine_json()}, {"rows", std::move(list)}};
}

nlohmann::ordered_json bench_json(const BenchResult& result) {
  nlohmann::ordered_json document = bench_json(result.rows);
  document["peers"] = nlohmann::ordered_json::object();
  if (!result.numpy.empty()) document["peers"]["numpy"] = result.numpy;
  if (!result.torch.empty()) document["peers"]["torch"] = result.torch;
  if (!result.differences.empty()) document["differences"] = result.differences;
  document.update(result.more);
  return document;
}

std::optional<double> find_value(const std::vector<BenchRow>& rows, const BenchRow& like) {
  for (const BenchRow& row : rows) {
    if (row.name == like.name && row.dtype == like.dtype && row.impl == like.impl &&
        row.threads == like.threads && row.unit == like.unit) {
      return row.value;
    }
  }
  return std::nullopt;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace millrace::tool
