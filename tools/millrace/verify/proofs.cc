#include "verify/proofs.h"

#include <exception>
#include <fstream>

#include <fmt/format.h>

#include "verify/ledger.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool is_proof(const Json& result) {
  return result.is_object() && result.value("met", false) && result.value("coverage", "") == "complete";
}

}  // namespace

Proofs::Proofs(const fs::path& root, const std::string& sources)
    : path_(root / "build/verify" / fmt::format("proofs-{}.json", sources)) {
  std::ifstream file(path_);
  const Json kept = Json::parse(file, nullptr, false);
  if (!kept.is_object()) return;
  for (const auto& [name, result] : kept.items()) {
    if (is_proof(result)) results_[name] = result;
  }
}

const Json* Proofs::find(const std::string& scenario) const {
  const auto found = results_.find(scenario);
  return found == results_.end() ? nullptr : &found->second;
}

void Proofs::add(const Json& result) {
  if (!is_proof(result)) return;
  Json kept = result;
  kept["kept_since"] = utc_now();
  results_[result.value("name", "")] = std::move(kept);
}

void Proofs::save() const noexcept {
  try {
    fs::create_directories(path_.parent_path());
    write_whole(path_, Json(results_).dump());
  } catch (const std::exception&) {
    // The next round explores again.
  }
}

}  // namespace millrace::tool
