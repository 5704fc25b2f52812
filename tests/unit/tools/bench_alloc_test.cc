// bench alloc where there is a GPU to name: over a driver that plays one, which the peers do not know.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "bench_alloc.h"

#if MILLRACE_HAS_CUDA
#include "support/fake_cuda.h"
#endif

namespace millrace::tool {
namespace {

// But pair, which is beside mimalloc on any device, and ThreadSanitizer does not see into that; and
// multistream, whose kernels the driver that plays the device does not run.
TEST(BenchAlloc, MeasuresEachModeOnACudaDevice) {
#if MILLRACE_HAS_CUDA
  test::install_fake_cuda();
  AllocBenchRequest request;
  request.modes.clear();
  for (const AllocModeInfo& info : alloc_modes()) {
    if (info.mode == AllocMode::pair || info.mode == AllocMode::multistream) continue;
    request.modes.push_back(info.mode);
  }
  request.threads = {1, 2};
  request.cases = {"4 KiB", "large", "growth", "lease", "event", "query", "random 1000/1"};  // and 1000/1024
  request.device = "cuda:0";
  request.peers = MILLRACE_TEST_SOURCE_DIR "/tools/peers";  // their sources: none is built there
  request.repetitions = 1;
  request.milliseconds = 2;
  const AllocBenchResult result = bench_alloc(request);

  ASSERT_EQ(result.tables.size(), request.modes.size());
  for (const AllocBenchResult::Table& table : result.tables) {
    const std::size_t ours = static_cast<std::size_t>(
        std::ranges::count_if(table.rows, [](const BenchRow& row) { return row.impl == "millrace"; }));
    EXPECT_EQ(ours, table.mode == AllocMode::growth ? 1 : 2) << info_of(table.mode).name;
    for (const BenchRow& row : table.rows) EXPECT_GT(row.value, 0) << row.name;
  }
  std::set<std::string> named;
  for (const PeerNote& peer : result.peers) named.insert(peer.name);
  for (const char* const peer : {"cub.so", "cuda_malloc_async.so", "rmm.so", "torch.so"}) {
    EXPECT_TRUE(named.contains(peer)) << peer;
  }
#else
  GTEST_SKIP() << "this build has no cuda backend";
#endif
}

}  // namespace
}  // namespace millrace::tool
