#include "bench/rounds.h"

#include <cstddef>

#include "bench_report.h"
#include "interrupt.h"

namespace millrace::tool {

std::vector<std::optional<double>> median_of_rounds(int rounds, const std::vector<Contestant>& contestants) {
  std::vector<std::vector<double>> values(contestants.size());
  std::vector<bool> out(contestants.size(), false);
  for (int round = -1; round < rounds && !interrupted(); ++round) {
    std::vector<double> now(contestants.size());
    for (std::size_t i = 0; i < contestants.size() && !interrupted(); ++i) {
      if (out[i]) continue;
      const std::optional<double> value = contestants[i]();
      out[i] = !value;
      now[i] = value.value_or(0);
    }
    if (round < 0 || interrupted()) continue;
    for (std::size_t i = 0; i < contestants.size(); ++i) values[i].push_back(now[i]);
  }
  std::vector<std::optional<double>> medians(contestants.size());
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    if (!out[i] && !values[i].empty()) medians[i] = median(values[i]);
  }
  return medians;
}

}  // namespace millrace::tool
