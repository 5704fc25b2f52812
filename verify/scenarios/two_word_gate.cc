// Why the gate is one word: the same gate as a flag and a counter, which is refuted (docs/concurrency.md).
#include <memory>

#include "scenario.h"
#include "sync/atomic.h"

namespace millrace::verify {
namespace {

using interleave::thread;

/// What the gate must not be; nothing but this scenario uses it.
///
/// Thread safety: none, which is what the scenario shows.
class TwoWordGate {
 public:
  bool enter() {
    inside_.fetch_add(1, std::memory_order_acq_rel);
    if (open_.load(std::memory_order_acquire)) return true;
    leave();
    return false;
  }
  void leave() { inside_.fetch_sub(1, std::memory_order_release); }
  void close_and_wait() {
    open_.store(false, std::memory_order_release);
    while (inside_.load(std::memory_order_acquire) != 0) interleave::yield();
  }

 private:
  sync::atomic<bool> open_{true};
  sync::atomic<int> inside_{0};
};

const Register two_words(
    "two_word_gate.enter_against_close", "G1",
    [] {
      TwoWordGate gate;
      auto state = std::make_unique<int>(0);
      thread user([&] {
        if (!gate.enter()) return;
        ++*state;
        gate.leave();
      });
      gate.close_and_wait();
      state.reset();
      user.join();
    },
    Expectation::refuted(interleave::Verdict::race));

}  // namespace
}  // namespace millrace::verify
