// What scenarios have shown of one state of the sources: it needs no second look.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

namespace millrace::tool {

/// Results as verify_scenarios prints them, by name: complete ones that were expected, kept below build/ for
/// one digest.
///
/// Thread safety: one thread at a time.
class Proofs {
 public:
  /// Reads what is kept; what can't be read is not there.
  Proofs(const std::filesystem::path& root, const std::string& sources);

  /// nullptr: none.
  const nlohmann::ordered_json* find(const std::string& scenario) const;
  /// If it is complete and met what was expected; with the time, as "kept_since".
  void add(const nlohmann::ordered_json& result);
  /// Only once it is sure that the sources were the same all the time. A failure keeps nothing, and is none
  /// of the round.
  void save() const noexcept;

 private:
  std::filesystem::path path_;
  std::map<std::string, nlohmann::ordered_json> results_;
};

}  // namespace millrace::tool
