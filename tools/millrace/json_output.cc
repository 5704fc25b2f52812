#include "json_output.h"

namespace millrace::tool {
namespace {

constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;

}  // namespace

std::string json_text(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, kReplace);
}

void JsonOutput::write(const nlohmann::ordered_json& value) {
  if (!wanted()) return;
  file_.begin();
  file_.write(value.dump(2, ' ', false, kReplace) + "\n");
  file_.end();
}

}  // namespace millrace::tool
