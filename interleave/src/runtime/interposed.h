// What runs see of the C++ library's ends of the world.
#pragma once

#include <signal.h>

namespace interleave {

/// While it lives, std::terminate, the ends of the process (exit and its like) and the signals of a crash
/// fail the run. assert, exit and throw go through the checker all the time.
///
/// Thread safety: one at a time.
class Interposed {
 public:
  Interposed();
  ~Interposed();
  /// In a process that is forked to run tests, too.
  static void forked() noexcept;
  Interposed(const Interposed&) = delete;
  Interposed& operator=(const Interposed&) = delete;

 private:
  static constexpr int kSignals = 5;
  void (*before_)();
  struct sigaction actions_[kSignals];
  stack_t stack_;
};

}  // namespace interleave
