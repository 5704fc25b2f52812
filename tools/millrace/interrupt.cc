#include "interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "command.h"

namespace millrace::tool {
namespace {

std::atomic<bool> signalled{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

void note_interrupt(int) {
  // relaxed: nothing is read on the strength of it but the flag itself.
  signalled.store(true, std::memory_order_relaxed);
}

void end_with_bus_error(int) {
  static constexpr char kLine[] =
      "millrace: a file could not be read any more: expected its bytes, found that it has shrunk or that "
      "its disk fails\n";
  // Nothing can be done about a failing write here.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kLine, sizeof(kLine) - 1);
  ::_exit(kBadInput);
}

void install(int signal, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void catch_interrupts() {
  // SA_RESETHAND: the second signal finds the default action and ends the process.
  install(SIGINT, note_interrupt, static_cast<int>(SA_RESETHAND) | SA_RESTART);
  install(SIGTERM, note_interrupt, static_cast<int>(SA_RESETHAND) | SA_RESTART);
}

bool interrupted() noexcept {
  return signalled.load(std::memory_order_relaxed);
}

void explain_bus_errors() {
  install(SIGBUS, end_with_bus_error, static_cast<int>(SA_RESETHAND));
}

}  // namespace millrace::tool
