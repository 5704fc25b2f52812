// PyTorch's memory snapshots: the pickle that torch.cuda.memory._dump_snapshot writes, or the same as JSON.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "formats/allocation_log.h"

namespace millrace::tool {

/// Reads the device_traces of a snapshot: alloc and free_requested are events, oom is counted as a failure,
/// and the other actions of PyTorch (free_completed, segment_*, snapshot) are entries only. One thread, for
/// PyTorch logs none.
///
/// Throws FileFormatError for a pickle that read_pickle refuses, a snapshot without traces, and an entry that
/// is not what PyTorch writes, with its number.
std::vector<AllocationLog> parse_torch_pickle(std::span<const std::byte> bytes, const std::string& file);
std::vector<AllocationLog> parse_torch_json(std::span<const std::byte> bytes, const std::string& file);

}  // namespace millrace::tool
