// thread_slot: hooks run at the thread's end, in reverse order of setting, before a join returns.
#include <vector>

#include "support/scenario.h"

namespace interleave::test {
namespace {

std::vector<int>* log_of_hooks = nullptr;
thread_slot<int>* slot_to_set_again = nullptr;

void log_hook(int* value) {
  log_of_hooks->push_back(*value);
}

TEST(Correct, SlotHooksRunInReverseOrder) {
  expect_executions(1, [] {
    std::vector<int> log;
    log_of_hooks = &log;
    thread_slot<int> first(log_hook), second(log_hook), unset(log_hook);
    int one = 1, two = 2;
    parallel([&] {
      first.set(&one);
      second.set(&two);
      INTERLEAVE_EXPECT(first.get() == &one && second.get() == &two && unset.get() == nullptr);
    });
    INTERLEAVE_EXPECT((log == std::vector<int>{2, 1}));
    INTERLEAVE_EXPECT(first.get() == nullptr);  // the main thread's own
  });
}

TEST(Correct, SlotSetByAHookGetsAnotherRound) {
  expect_executions(1, [] {
    std::vector<int> log;
    log_of_hooks = &log;
    thread_slot<int> again([](int* value) {
      log_of_hooks->push_back(*value);
      if (--*value > 0) slot_to_set_again->set(value);
    });
    slot_to_set_again = &again;
    int rounds = 3;
    parallel([&] { again.set(&rounds); });
    INTERLEAVE_EXPECT((log == std::vector<int>{3, 2, 1}));
  });
}

TEST(Correct, SlotsAreEachThreadsOwn) {
  expect_executions(1, [] {
    thread_slot<int> slot;
    int one = 1, two = 2;
    parallel(
        [&] {
          slot.set(&one);
          INTERLEAVE_EXPECT(*slot.get() == 1);
        },
        [&] {
          slot.set(&two);
          INTERLEAVE_EXPECT(*slot.get() == 2);
        });
    INTERLEAVE_EXPECT(slot.get() == nullptr);
  });
}

TEST(Correct, SlotHooksHappenBeforeTheJoin) {
  struct Counter {
    atomic<int> ended{0};
    var<int> last = 0;
  };
  expect_executions(2, [] {  // the additions' order
    Counter counter;
    thread_slot<Counter> slot([](Counter* shared) {
      if (shared->ended.fetch_add(1, memory_order_acq_rel) == 1) shared->last.set(1);
    });
    parallel([&] { slot.set(&counter); }, [&] { slot.set(&counter); });
    INTERLEAVE_EXPECT(counter.last.get() == 1);
  });
}

}  // namespace
}  // namespace interleave::test
