// What the lifecycle programs share: each is a process of its own, since it ends in a way of its own.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace millrace::test {

/// Ends the process at once with a message: exit is what is being tested.
[[noreturn]] inline void fail(const char* what, const char* detail = "") {
  std::fprintf(stderr, "FAIL: %s %s\n", what, detail);
  std::fflush(nullptr);
  std::_Exit(1);
}

inline void require(bool condition, const char* what) {
  if (!condition) fail(what);
}

/// The whole process may take this long; a hang ends with SIGALRM.
inline void limit_process(unsigned seconds) {
  ::alarm(seconds);
}

/// Waits for something else to end the process.
[[noreturn]] inline void wait_to_be_ended() {
  ::sleep(60);
  fail("nothing ended the process");
}

}  // namespace millrace::test
