// What every bench reports: rows with a machine to read them by.
#pragma once

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

/// {"machine":{...},"rows":[...]}
nlohmann::ordered_json bench_json(const std::vector<BenchRow>& rows);

double median(std::vector<double> values);

}  // namespace millrace::tool
