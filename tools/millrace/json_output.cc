#include "json_output.h"

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

#include "usage_error.h"

namespace millrace::tool {

JsonOutput::JsonOutput(const std::string& path) : path_(path), to_stdout_(path == "-") {
  if (path.empty() || to_stdout_) return;
  file_.reset(std::fopen(path.c_str(), "we"));
  if (file_ == nullptr) {
    throw UsageError(
        fmt::format("--json: cannot write {}: {}", path, std::generic_category().message(errno)));
  }
}

void JsonOutput::write(const nlohmann::ordered_json& value) {
  if (!wanted()) return;
  std::FILE* const out = to_stdout_ ? stdout : file_.get();
  const std::string text = value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (std::fwrite(text.data(), 1, text.size(), out) != text.size() || std::fflush(out) != 0) {
    throw std::runtime_error(fmt::format("cannot write all of {}: {}", to_stdout_ ? "standard output" : path_,
                                         std::generic_category().message(errno)));
  }
}

}  // namespace millrace::tool
