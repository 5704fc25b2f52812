// What runs see of the C++ library's ends of the world.
#pragma once

#include <signal.h>

namespace interleave {

/// While it lives, std::terminate and the signals of a crash fail the run. assert and throw go through the
/// checker all the time.
///
/// Thread safety: one at a time.
class Interposed {
 public:
  Interposed();
  ~Interposed();
  Interposed(const Interposed&) = delete;
  Interposed& operator=(const Interposed&) = delete;

 private:
  static constexpr int kSignals = 5;
  void (*before_)();
  struct sigaction actions_[kSignals];
  stack_t stack_;
};

}  // namespace interleave
