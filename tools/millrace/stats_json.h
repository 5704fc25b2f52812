// What stats found, as JSON for programs and for a later run to go on from.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <millrace/device.h>

#include "formats/tensor_file.h"
#include "output_file.h"
#include "stats_run.h"

namespace millrace::tool {

/// {"tensors": [a row each, on a line], "run": {...}}. Rows that an interruption left out are absent and
/// "partial": true is in "run". Sums and extremes are null where no value is finite. With a channel_dim a row
/// has it and "channels", a list of the same fields, and "dead" and "constant", lists of their indices; a
/// tensor that is not split has null there and says why in "not_split".
///
/// Numbers have the digits that give back their bits, so that read_resume loses nothing.
void write_stats_json(OutputFile& out, const std::vector<TensorFile>& files, const StatsResult& result,
                      std::optional<std::int64_t> channel_dim, const Device& device);

}  // namespace millrace::tool
