#include "output_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "terminal.h"
#include "usage_error.h"

namespace millrace::tool {

OutputFile::OutputFile(std::string option, const std::string& path)
    : option_(std::move(option)), path_(path), to_stdout_(path == "-") {
  if (path.empty() || to_stdout_) return;
  file_.reset(std::fopen(path.c_str(), "ae"));
  if (file_ == nullptr) {
    throw UsageError(
        fmt::format("{}: cannot write {}: {}", option_, path, std::generic_category().message(errno)));
  }
}

bool OutputFile::is_terminal() const noexcept {
  return wanted() && tool::is_terminal(out());
}

void OutputFile::begin() {
  if (file_ == nullptr) return;
  struct stat info {};
  const int descriptor = ::fileno(file_.get());
  if (::fstat(descriptor, &info) != 0) fail();
  // Pipes and devices have nothing to empty.
  if (S_ISREG(info.st_mode) && ::ftruncate(descriptor, 0) != 0) fail();
}

void OutputFile::write(std::string_view text) {
  if (!wanted()) return;
  if (std::fwrite(text.data(), 1, text.size(), out()) != text.size()) fail();
}

void OutputFile::end() {
  if (wanted() && std::fflush(out()) != 0) fail();
}

void OutputFile::fail() const {
  throw std::runtime_error(fmt::format("cannot write all of {}: {}", to_stdout_ ? "standard output" : path_,
                                       std::generic_category().message(errno)));
}

}  // namespace millrace::tool
