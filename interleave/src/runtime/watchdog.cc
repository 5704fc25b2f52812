#include "runtime/watchdog.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "runtime/machine.h"

// glibc names the field since 2.36 only.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace interleave {
namespace {

constexpr int kLooks = 10;  // in the time allowed; so many in a row have to see the same

std::uint64_t seen = 0;
int in_vain = 0;

/// Runs on the stack for signals, as the fiber's may be used up; hang leaves it for the host's.
void look(int /*signal*/) {
  Machine* machine = running_machine;
  if (machine == nullptr) return;  // the checker's own code, which ends
  const std::uint64_t now = machine->progress();
  in_vain = now == seen ? in_vain + 1 : 0;
  seen = now;
  if (in_vain < kLooks) return;
  in_vain = 0;
  machine->hang();
}

}  // namespace

Watchdog::Watchdog(double seconds) {
  if (seconds <= 0) return;
  seen = 0;
  in_vain = 0;
  struct sigaction action {};
  action.sa_handler = &look;
  action.sa_flags = SA_ONSTACK | SA_NODEFER | SA_RESTART;  // it may not return
  sigaction(SIGURG, &action, &before_);
  sigset_t mine;
  sigemptyset(&mine);
  sigaddset(&mine, SIGURG);
  pthread_sigmask(SIG_UNBLOCK, &mine, &mask_);
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGURG;
  event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
  watching_ = timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
  if (!watching_) {  // the system has no timers left: a run that hangs does so
    sigaction(SIGURG, &before_, nullptr);
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    return;
  }
  const auto nanoseconds = static_cast<std::int64_t>(seconds * 1e9 / kLooks) + 1;
  itimerspec period{};
  period.it_value.tv_sec = static_cast<time_t>(nanoseconds / 1'000'000'000);
  period.it_value.tv_nsec = static_cast<long>(nanoseconds % 1'000'000'000);
  period.it_interval = period.it_value;
  timer_settime(timer_, 0, &period, nullptr);
}

Watchdog::~Watchdog() {
  if (!watching_) return;
  timer_delete(timer_);
  pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  sigaction(SIGURG, &before_, nullptr);
}

}  // namespace interleave
