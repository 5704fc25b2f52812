// The gate: who is refused, and a closer that wakes for no reason.
#include <memory>

#include "scenario.h"
#include "sync/gate.h"

namespace millrace::verify {
namespace {

using interleave::thread;

const Register refused_sees_why("gate.refused_sees_why", "G2", [] {
  sync::Gate gate;
  int reason = 0;
  thread user([&] {
    if (!gate.enter()) INTERLEAVE_EXPECT(reason == 1);
  });
  thread closer([&] {
    reason = 1;
    gate.close_and_wait();
  });
  user.join();
  closer.join();
});

interleave::Options with_spurious_wakeups() {
  interleave::Options options;
  options.spurious_wakeups = true;
  return options;
}

const Register woken_for_no_reason(
    "gate.woken_for_no_reason", "G1 G2",
    [] {
      sync::Gate gate;
      auto state = std::make_unique<int>(0);
      thread user([&] {
        if (const sync::Gate::Pass pass = gate.enter()) ++*state;
      });
      gate.close_and_wait();
      state.reset();
      user.join();
    },
    with_spurious_wakeups());

}  // namespace
}  // namespace millrace::verify
