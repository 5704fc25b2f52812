// What stats found, as comma-separated values (RFC 4180).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "formats/tensor_file.h"
#include "output_file.h"
#include "stats_run.h"

namespace millrace::tool {

/// A header, then a row a tensor; with a channel_dim a row a channel, or one with an empty channel for a
/// tensor that is not split. Cells are empty where JSON has null.
void write_stats_csv(OutputFile& out, const std::vector<TensorFile>& files, const StatsResult& result,
                     std::optional<std::int64_t> channel_dim);

}  // namespace millrace::tool
