// What stats found, as a table for people and as JSON for programs.
#pragma once

#include <cstdio>
#include <vector>

#include <nlohmann/json.hpp>

#include <millrace/device.h>

#include "formats/tensor_file.h"
#include "stats_run.h"

namespace millrace::tool {

/// Rows that an interruption left out are absent and "partial": true is in "run". Sums and extremes
/// are null where no value is finite.
nlohmann::ordered_json stats_json(const std::vector<TensorFile>& files, const StatsResult& result,
                                  const Device& device);

void print_stats(std::FILE* out, const std::vector<TensorFile>& files, const StatsResult& result,
                 const Device& device);

}  // namespace millrace::tool
