// std::jthread: joins in its destructor, and asks the function to stop if that listens.
#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, JthreadJoins) {
  expect_executions(2, [] {
    atomic<int> count{0};
    {
      const jthread first([&] { count.fetch_add(1, memory_order_relaxed); });
      const jthread second([&] { count.fetch_add(1, memory_order_relaxed); });
    }
    INTERLEAVE_EXPECT(count.load(memory_order_relaxed) == 2);
  });
}

TEST(Correct, JthreadIsAskedToStop) {
  expect_proved([] {
    var<int> ended = 0;
    {
      const jthread worker([&](stop_token stop) {
        while (!stop.stop_requested()) yield();
        ended.set(1);
      });
    }
    INTERLEAVE_EXPECT(ended.get() == 1);
  });
}

TEST(Correct, JthreadStopSeenOrNot) {
  expect_executions(2, [] {  // before and after the destructor asks
    const jthread worker([](const stop_token& stop) { (void)stop.stop_requested(); });
  });
}

}  // namespace
}  // namespace interleave::test
