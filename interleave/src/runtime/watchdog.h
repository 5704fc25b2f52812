// Notices a run that does not come back to the checker.
#pragma once

#include <signal.h>
#include <time.h>

namespace interleave {

/// While it lives, a run of the calling thread in which nothing happens for so many seconds (no event, nor
/// the run's end) is ended by Machine::hang, wherever its thread is: in a loop, or asleep in a lock that is
/// not interleave's. On a busy machine the time for which the thread gets no processor does not count.
///
/// A timer interrupts the thread a few times in that time and looks whether the run has gone on; explored
/// runs pay nothing. The signal is SIGURG: debuggers pass it on in silence, and where it comes late it is
/// ignored. A fork does not take the timer along.
///
/// Thread safety: one at a time in a process.
class Watchdog {
 public:
  /// 0: there is none.
  explicit Watchdog(double seconds);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  bool watching_ = false;
  timer_t timer_{};
  struct sigaction before_ {};
  sigset_t mask_{};
};

}  // namespace interleave
