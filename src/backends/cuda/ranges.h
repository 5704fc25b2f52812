// Ranges that profilers show, by NVTX.
#pragma once

#include <string>

namespace millrace::cuda {

/// From construction to the end of the scope, on the calling thread, where profilers look at all. Made only
/// if wanted: NVTX looks for a profiler when it is first asked for anything.
///
/// Thread safety: one thread.
class Range {
 public:
  Range(bool wanted, const std::string& name) noexcept : pushed_(wanted) {
    if (wanted) [[unlikely]]
      push(name.c_str());
  }
  ~Range() {
    if (pushed_) [[unlikely]]
      pop();
  }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  static void push(const char* name) noexcept;
  static void pop() noexcept;

  const bool pushed_;
};

}  // namespace millrace::cuda
