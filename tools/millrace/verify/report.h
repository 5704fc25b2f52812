// A verification round's report, for people and for programs.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "verify/round.h"

namespace millrace::tool {

/// All that the round found, with what repeats each finding.
std::string report_text(const Round& round);
nlohmann::ordered_json report_json(const Round& round);

/// What to do now, a line.
std::string action_required(const Round& round);

/// A text without the place of the sources on this machine: paths below them begin at their root.
std::string without_root(const std::string& text, const std::filesystem::path& root);

inline constexpr const char* kRebuild = "./run --version";  ///< builds the program anew

}  // namespace millrace::tool
