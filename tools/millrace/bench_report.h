// What every bench reports: rows with a machine to read them by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace millrace::tool {

struct BenchRow {
  std::string bench;
  std::string name;   ///< "case" in the JSON
  std::string dtype;  ///< empty where it does not apply: null in the JSON
  std::string impl;   ///< "millrace", a peer's name, or "floor"
  int threads = 1;
  double value = 0;  ///< the median
  std::string unit;
};

/// What a bench with Python's libraries as its peers found.
struct BenchResult {
  std::vector<BenchRow> rows;
  std::string numpy;                     ///< which one, or why there is none; empty: it is no peer here
  std::string torch;                     ///< the same of PyTorch
  std::vector<std::string> differences;  ///< from what a peer computed; each a line
  /// What else the JSON has, in this bench alone.
  nlohmann::ordered_json more = nlohmann::ordered_json::object();
};

/// {"machine":{...},"rows":[...]}
nlohmann::ordered_json bench_json(const std::vector<BenchRow>& rows);
/// The same with "peers" and what else there is.
nlohmann::ordered_json bench_json(const BenchResult& result);

/// The value of the row with this case, dtype, impl, thread count and unit; nothing where there is none.
std::optional<double> find_value(const std::vector<BenchRow>& rows, const BenchRow& like);

double median(std::vector<double> values);

inline double gigabytes_per_second(std::uint64_t bytes, double seconds) {
  return static_cast<double>(bytes) / 1e9 / seconds;
}

}  // namespace millrace::tool
