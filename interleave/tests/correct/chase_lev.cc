// The deque of Chase and Lev: owner and thieves never get the same element.
#include "support/chase_lev.h"

#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, ChaseLevLastElement) {
  expect_executions(8, [] {
    ChaseLevDeque<> deque;
    int taken = 0, stolen = 0;
    parallel(
        [&] {
          deque.push(1);
          taken = deque.take();
        },
        [&] { stolen = deque.steal(); });
    INTERLEAVE_EXPECT((taken == 1) != (stolen == 1));
  });
}

TEST(Correct, ChaseLevTwoElements) {
  expect_executions(18, [] {
    ChaseLevDeque<> deque;
    int taken[2] = {}, stolen[2] = {};
    parallel(
        [&] {
          deque.push(1);
          deque.push(2);
          taken[0] = deque.take();
          taken[1] = deque.take();
        },
        [&] { stolen[0] = deque.steal(); });
    for (const int value : {1, 2}) {
      const int times = (taken[0] == value) + (taken[1] == value) + (stolen[0] == value);
      INTERLEAVE_EXPECT(times == 1);
    }
  });
}

TEST(Correct, ChaseLevTwoThieves) {
  expect_executions(62, [] {
    ChaseLevDeque<> deque;
    int taken = 0, stolen[2] = {};
    parallel(
        [&] {
          deque.push(1);
          taken = deque.take();
        },
        [&] { stolen[0] = deque.steal(); }, [&] { stolen[1] = deque.steal(); });
    INTERLEAVE_EXPECT((taken == 1) + (stolen[0] == 1) + (stolen[1] == 1) == 1);
  });
}

}  // namespace
}  // namespace interleave::test
