// The bench alloc subcommand's work, for the tour as well.
#pragma once

#include <string>
#include <vector>

#include "bench/alloc_modes.h"
#include "bench/peer_library.h"
#include "bench_report.h"

namespace millrace::tool {

struct AllocBenchRequest {
  std::vector<AllocMode> modes{AllocMode::pair};
  std::vector<int> threads;        ///< empty: what the mode and the device suggest
  std::vector<std::string> cases;  ///< parts of their names; empty: all
  std::string device = "auto";
  std::string peers;  ///< the folder of peers; empty: the usual one
  int repetitions = 5;
  int milliseconds = 50;  ///< of each repetition of each row
};

struct AllocBenchResult {
  struct Table {
    AllocMode mode = AllocMode::pair;
    std::vector<std::string> impls;  ///< its columns
    std::vector<BenchRow> rows;
  };
  std::vector<Table> tables;    ///< one a mode
  std::vector<PeerNote> peers;  ///< each with its version or the reason of its absence
};

/// The rows of all allocators, cases and thread counts, measured in turn so that whatever else the
/// machine does meets all of them alike. Throws UsageError for a folder of peers that is none.
AllocBenchResult bench_alloc(const AllocBenchRequest& request);

void print_alloc_bench(const AllocBenchResult& result);

}  // namespace millrace::tool
