// The same call by two threads.
#pragma once

#include <interleave/interleave.h>

namespace millrace::verify {

/// act(0) in the body and act(1) in a thread of its own; returns when both have ended.
template <typename Act>
void at_once(Act&& act) {
  interleave::thread other([&] { act(1); });
  act(0);
  other.join();
}

}  // namespace millrace::verify
