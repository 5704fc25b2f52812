#include "bench/alloc_modes.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "formats/file_format_error.h"

namespace millrace::tool {
namespace {

constexpr std::array<AllocModeInfo, 11> kModes{{
    {AllocMode::pair, "pair", "free + allocate", "ns/pair",
     "ns that one core spends on a pair, 64 live blocks a thread, median"},
    {AllocMode::handoff, "handoff", "handed over, by pairs", "ns/block",
     "ns a block as a pair of threads sees it: one allocates, the other frees, 256 blocks may be on their "
     "way"},
    {AllocMode::large, "large", "free + allocate", "ns/pair",
     "ns that one core spends on a pair, 16 live blocks a thread"},
    {AllocMode::shared, "shared", "on one stream", "ns/pair",
     "ns that one core spends on a pair, 64 live blocks a thread, all threads for one and the same stream"},
    {AllocMode::crossstream, "crossstream", "used on a second stream", "ns/block",
     "ns that one core spends to allocate a block, record its use by a second stream and free it, 16 at a "
     "time; "
     "the fills there that use the blocks run between and are not in the time"},
    {AllocMode::growth, "growth", "growth", "ms",
     "ms for a fresh device to give all of it, in blocks of 1 MiB to a 16th of it, one thread"},
    {AllocMode::random, "random", "allocations / largest MiB", "ms",
     "ms for RMM's random_allocations benchmark, once it has run before: one thread, one stream, twice as "
     "many steps as allocations, 73 in 100 of them allocations of 1 byte to so many MiB, live at once at "
     "most 16,000 MiB or 3 quarters of the device; the same steps for all, each alone on the device"},
    {AllocMode::multistream, "multistream", "streams / kernels", "us",
     "us for RMM's multi_stream_allocations benchmark: one thread launches 4 kernels of a million clock "
     "ticks on its streams in turn, allocates 8 bytes before each and frees them behind it, and waits for "
     "the device; mean of many; cold: with nothing allocated before; floor: the kernels alone"},
    {AllocMode::lease, "lease", "stream lease", "ns/lease", "ns that one core spends on a lease and its end"},
    {AllocMode::event, "event", "event", "ns/event",
     "ns that one core spends on an event from the pool and back"},
    {AllocMode::query, "query", "event query", "ns/query",
     "ns that one core spends to ask an event whose work is done"},
}};

}  // namespace

std::span<const AllocModeInfo> alloc_modes() {
  return kModes;
}

const AllocModeInfo& info_of(AllocMode mode) {
  return kModes[static_cast<std::size_t>(mode)];
}

std::string alloc_mode_names() {
  std::string names;
  for (const AllocModeInfo& info : kModes) names += fmt::format("{}, ", info.name);
  return names + "all";
}

std::vector<AllocMode> parse_alloc_modes(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name == "all" || std::ranges::any_of(kModes, [&](const auto& info) { return info.name == name; })) {
      continue;
    }
    throw CLI::ValidationError("--mode", fmt::format("expected one or several of {}, found {}",
                                                     alloc_mode_names(), printable(name)));
  }
  std::vector<AllocMode> modes;
  for (const AllocModeInfo& info : kModes) {
    if (std::ranges::any_of(names, [&](const auto& name) { return name == "all" || name == info.name; })) {
      modes.push_back(info.mode);
    }
  }
  return modes;
}

}  // namespace millrace::tool
