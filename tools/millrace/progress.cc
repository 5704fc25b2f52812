#include "progress.h"

#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "byte_size.h"
#include "terminal.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kBarWidth = 30;
constexpr const char* kClearLine = "\r\033[K";

}  // namespace

Progress::Progress(std::uint64_t total_bytes, bool wanted)
    : total_(total_bytes), visible_(wanted && total_bytes > 0 && is_terminal(stderr)) {}

Progress::~Progress() {
  if (drawn_) fmt::print(stderr, "{}", kClearLine);
}

void Progress::show(std::uint64_t done_bytes) {
  if (!visible_) return;
  drawn_ = true;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  const double share = static_cast<double>(done_bytes) / static_cast<double>(total_);
  const auto filled = static_cast<std::size_t>(share * kBarWidth);
  fmt::print(stderr, "{}[{}{}] {:3.0f}%  {} of {}  {:.2f} GB/s", kClearLine, std::string(filled, '#'),
             std::string(kBarWidth - filled, ' '), share * 100, format_byte_size(done_bytes),
             format_byte_size(total_), static_cast<double>(done_bytes) / 1e9 / elapsed.count());
  std::fflush(stderr);
}

}  // namespace millrace::tool
