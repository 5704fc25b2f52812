// One line on a terminal that says how far the work is. Silent anywhere else.
#pragma once

#include <chrono>
#include <cstdint>

namespace millrace::tool {

/// A bar on standard error, drawn over itself, and gone when the object is.
///
/// Thread safety: one thread at a time.
class Progress {
 public:
  /// Draws nothing unless standard error is a terminal and wanted is true.
  Progress(std::uint64_t total_bytes, bool wanted);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void show(std::uint64_t done_bytes);

 private:
  std::uint64_t total_;
  bool visible_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace millrace::tool
