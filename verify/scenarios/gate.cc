// The gate: who is inside, and who closes.
#include "sync/gate.h"

#include <memory>
#include <stdexcept>

#include "scenario.h"

namespace millrace::verify {
namespace {

using interleave::thread;
using sync::Gate;

/// What the gate guards: torn down once it has closed.
struct Guarded {
  Gate gate;
  std::unique_ptr<int> state = std::make_unique<int>(0);

  void use() {
    if (const Gate::Pass pass = gate.enter()) ++*state;
  }
  int close() {
    gate.close_and_wait();
    const int last = *state;
    state.reset();
    return last;
  }
};

const Register enter_against_close("gate.enter_against_close", "G1 G2", [] {
  Guarded guarded;
  thread user([&] { guarded.use(); });
  const int last = guarded.close();
  user.join();
  INTERLEAVE_EXPECT(last == 0 || last == 1);
  INTERLEAVE_EXPECT(!guarded.gate.enter());
});

const Register two_enter_against_close("gate.two_enter_against_close", "G1 G2", [] {
  sync::Gate gate;
  auto first = std::make_unique<int>(0), second = std::make_unique<int>(0);
  const auto use = [&gate](const std::unique_ptr<int>& mine) {
    if (const Gate::Pass pass = gate.enter()) ++*mine;
  };
  thread one([&] { use(first); });
  thread two([&] { use(second); });
  gate.close_and_wait();
  first.reset();
  second.reset();
  one.join();
  two.join();
});

const Register two_close("gate.two_close", "G1 G2", [] {
  sync::Gate gate;
  int state = 0;
  Gate::Pass pass = gate.enter();
  thread user([&, mine = std::move(pass)] { ++state; });
  thread closer([&] {
    gate.close_and_wait();
    INTERLEAVE_EXPECT(state == 1);
  });
  gate.close_and_wait();
  INTERLEAVE_EXPECT(state == 1);
  user.join();
  closer.join();
});

const Register destroyed_once_closed("gate.destroyed_once_closed", "G3", [] {
  auto gate = std::make_unique<Gate>();
  Gate::Pass one = gate->enter();
  Gate::Pass two = gate->enter();
  thread first([mine = std::move(one)]() mutable { const Gate::Pass last = std::move(mine); });
  thread second([mine = std::move(two)]() mutable { const Gate::Pass last = std::move(mine); });
  gate->close_and_wait();
  gate.reset();
  first.join();
  second.join();
});

const Register exception_inside("gate.exception_inside", "G1", [] {
  Guarded guarded;
  thread user([&] {
    try {
      if (const Gate::Pass pass = guarded.gate.enter()) throw std::runtime_error("inside");
    } catch (const std::runtime_error&) {
    }
  });
  guarded.close();
  user.join();
});

}  // namespace
}  // namespace millrace::verify
