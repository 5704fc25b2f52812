// Going on from what an earlier run has found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/tensor_file.h"
#include "stats_collect.h"

namespace millrace::tool {

/// The rows of a document that write_stats_json wrote, one a tensor of files; nothing for those it has not.
///
/// Throws FileFormatError unless it is such a document, of the same files (path, size, time of the last
/// change) in the same order and of the same channel_dim.
std::vector<std::optional<TensorStatistics>> read_resume(const std::string& path,
                                                         const std::vector<TensorFile>& files,
                                                         std::optional<std::int64_t> channel_dim);

}  // namespace millrace::tool
