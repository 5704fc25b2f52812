// std::call_once: one call succeeds, everybody sees what it did; one that throws leaves it to the next.
#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, CallOnceTwoThreads) {
  expect_executions(2, [] {  // who calls it
    once_flag once;
    var<int> value = 0;
    const auto work = [&] {
      call_once(once, [&] { value.set(value.get() + 1); });
      INTERLEAVE_EXPECT(value.get() == 1);
    };
    parallel(work, work);
  });
}

TEST(Correct, CallOnceThreeThreads) {
  expect_executions(3, [] {
    once_flag once;
    var<int> value = 0;
    const auto work = [&] {
      call_once(once, [&] { value.set(value.get() + 1); });
      INTERLEAVE_EXPECT(value.get() == 1);
    };
    parallel(work, work, work);
  });
}

TEST(Correct, CallOnceWithAnException) {
  expect_executions(6, [] {  // whose call throws, and whose succeeds
    once_flag once;
    var<int> calls = 0;
    int caught = 0;
    const auto work = [&] {
      try {
        call_once(once, [&] {
          calls.set(calls.get() + 1);
          if (calls.get() == 1) throw 1;
        });
        INTERLEAVE_EXPECT(calls.get() == 2);
      } catch (int) {
        ++caught;
      }
    };
    parallel(work, work, work);
    INTERLEAVE_EXPECT(caught == 1);
  });
}

TEST(Correct, CallOnceThatAlwaysThrows) {
  expect_executions(2, [] {
    once_flag once;
    int caught = 0;
    const auto work = [&] {
      try {
        call_once(once, [] { throw 1; });
      } catch (int) {
        ++caught;
      }
    };
    parallel(work, work);
    INTERLEAVE_EXPECT(caught == 2);
  });
}

}  // namespace
}  // namespace interleave::test
