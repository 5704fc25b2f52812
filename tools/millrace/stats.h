// The stats subcommand's work, for the tour as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/device.h>

namespace millrace::tool {

struct StatsRequest {
  std::vector<std::string> paths;
  std::string device = "auto";
  int threads = 0;  ///< 0: one a core, or two less for a GPU
  std::size_t memory_limit = 0;
  std::optional<std::int64_t> channel_dim;
  std::string resume;
  std::string json;
  std::string csv;
  bool quiet = false;
};

/// What the device is opened with: a stream for each worker beside the default one.
DeviceOptions stats_device_options(int threads, std::size_t memory_limit);

/// Returns an ExitCode.
int stats(const StatsRequest& request);

/// The same paths held against another checkpoint; the device plays no part. Returns an ExitCode,
/// kFoundErrors when anything differs.
int compare(const StatsRequest& request, const std::string& other);

}  // namespace millrace::tool
