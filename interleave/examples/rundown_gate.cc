// The way into something that can be closed: operations enter, work and leave; closing waits for the last
// one.
//
// "Is it open" and "how many are inside" as two words: enter raises the counter and looks at the flag, close
// sets the flag and looks at the counter. Under acquire and release each may miss the other's store, and the
// closer tears down what somebody is about to use. As one word there is nothing to miss.
#include "example.h"

namespace {

using namespace interleave;

class TwoWords {
 public:
  bool enter() {
    inside_.fetch_add(1, memory_order_acq_rel);
    if (!closed_.load(memory_order_acquire)) return true;
    leave();
    return false;
  }
  void leave() { inside_.fetch_sub(1, memory_order_release); }
  void close_and_wait() {
    closed_.store(true, memory_order_release);
    const auto nobody = [](int count) { return count == 0; };
    await(inside_, nobody, memory_order_acquire);
  }

 private:
  atomic<bool> closed_{false};
  atomic<int> inside_{0};
};

class OneWord {
 public:
  bool enter() {
    if ((word_.fetch_add(kOne, memory_order_relaxed) & kClosed) == 0) return true;
    leave();
    return false;
  }
  void leave() { word_.fetch_sub(kOne, memory_order_release); }  // pairs with the acquire in close_and_wait
  void close_and_wait() {
    word_.fetch_or(kClosed, memory_order_relaxed);
    const auto closed_and_nobody = [](unsigned word) { return word == kClosed; };
    await(word_, closed_and_nobody, memory_order_acquire);
  }

 private:
  static constexpr unsigned kClosed = 1;  // bit 0
  static constexpr unsigned kOne = 2;     // the rest counts those inside

  atomic<unsigned> word_{0};
};

template <typename Gate>
void scenario() {
  Gate gate;
  var<int> guarded = 1;
  const auto work = [&] {
    if (!gate.enter()) return;
    INTERLEAVE_EXPECT(guarded.get() == 1);
    gate.leave();
  };
  example::parallel(work, work, [&] {
    gate.close_and_wait();
    guarded.set(0);  // torn down
  });
}

}  // namespace

int main(int argc, char** argv) {
  return example::run(
      argc, argv,
      {{"two-words", Verdict::race, scenario<TwoWords>}, {"one-word", Verdict::pass, scenario<OneWord>}});
}
