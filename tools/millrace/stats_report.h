// What stats found, as a table for people.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <vector>

#include <millrace/device.h>

#include "formats/tensor_file.h"
#include "stats_run.h"

namespace millrace::tool {

/// A row a tensor; with a channel_dim, a row for each of its channels below it.
void print_stats(std::FILE* out, const std::vector<TensorFile>& files, const StatsResult& result,
                 std::optional<std::int64_t> channel_dim, const Device& device);

}  // namespace millrace::tool
