#include "runtime/watchdog.h"

#include <pthread.h>
#include <sys/resource.h>
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

constexpr int kLooks = 10;  // in the time allowed

/// How far the run had come at the last look, and what its thread had used and done by then.
struct Seen {
  std::uint64_t progress = 0;
  double processor_seconds = 0;
  long sleeps = 0;
};

double allowed = 0;
double period_seconds = 0;
double in_vain = 0;  // seconds for which nothing has happened
Seen last;

Seen seen_now(std::uint64_t progress) {
  rusage used{};
  getrusage(RUSAGE_THREAD, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return {progress, seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_nvcsw};
}

/// Time counts while the thread computes, or sleeps of its own accord; not while it waits for a processor,
/// which says nothing of the run.
///
/// Runs on the stack for signals, as the fiber's may be used up; hang leaves it for the host's.
void look(int /*signal*/) {
  Machine* machine = running_machine;
  if (machine == nullptr) return;  // the checker's own code, which ends
  const Seen now = seen_now(machine->progress());
  if (now.progress != last.progress) {
    in_vain = 0;
  } else {
    in_vain += now.sleeps != last.sleeps ? period_seconds : now.processor_seconds - last.processor_seconds;
  }
  last = now;
  if (in_vain < allowed) return;
  in_vain = 0;
  machine->hang();
}

}  // namespace

Watchdog::Watchdog(double seconds) {
  if (seconds <= 0) return;
  allowed = seconds * (1.0 - 0.5 / kLooks);  // what a look or two may have missed
  period_seconds = seconds / kLooks;
  in_vain = 0;
  last = seen_now(0);
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
