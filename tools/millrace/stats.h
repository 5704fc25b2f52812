// The stats subcommand's work, for the tour as well.
#pragma once

#include <string>
#include <vector>

namespace millrace::tool {

struct StatsRequest {
  std::vector<std::string> paths;
  std::string device = "auto";
  int threads = 0;  ///< 0: one a core
  std::size_t memory_limit = 0;
  std::string json;
  bool quiet = false;
};

/// Returns an ExitCode.
int stats(const StatsRequest& request);

}  // namespace millrace::tool
