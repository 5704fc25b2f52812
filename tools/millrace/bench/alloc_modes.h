// The modes of bench alloc: what each is called and what it measures.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::tool {

enum class AllocMode : std::uint8_t {
  pair,
  handoff,
  large,
  shared,
  crossstream,
  growth,
  random,
  multistream,
  lease,
  event,
  query,
};

struct AllocModeInfo {
  AllocMode mode;
  const char* name;
  const char* title;       ///< over the cases of its table
  const char* unit;        ///< of its rows
  const char* definition;  ///< what a value is, for below the table and for the JSON
};

/// All of them, in the order in which they are measured.
std::span<const AllocModeInfo> alloc_modes();
const AllocModeInfo& info_of(AllocMode mode);

/// Their names with commas between, "all" at the end.
std::string alloc_mode_names();

/// Names, or "all", in any order; each once, in the order of alloc_modes. CLI::ValidationError for a name
/// that is none.
std::vector<AllocMode> parse_alloc_modes(const std::vector<std::string>& names);

}  // namespace millrace::tool
