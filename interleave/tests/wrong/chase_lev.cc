// The deque of Chase and Lev without one of its fences.
#include "support/chase_lev.h"

#include "support/wrong.h"

namespace interleave::test {
namespace {

// The owner's store of bottom passes its load of top: owner and thief get the same element.
TEST(Wrong, ChaseLevTakesWithoutAFence) {
  expect_wrong(Verdict::assertion, [] {
    ChaseLevDeque<memory_order_acq_rel> deque;
    int taken[2] = {}, stolen[2] = {};
    parallel(
        [&] {
          deque.push(1);
          deque.push(2);
          taken[0] = deque.take();
          taken[1] = deque.take();
        },
        [&] {
          stolen[0] = deque.steal();
          stolen[1] = deque.steal();
        });
    for (const int value : {1, 2}) {
      const int times =
          (taken[0] == value) + (taken[1] == value) + (stolen[0] == value) + (stolen[1] == value);
      INTERLEAVE_EXPECT(times <= 1);  // <-- ChaseLevTakesWithoutAFence
    }
  });
}

TEST(Wrong, ChaseLevStealsWithoutAFence) {
  expect_wrong(Verdict::assertion, [] {
    ChaseLevDeque<memory_order_seq_cst, memory_order_acq_rel> deque;
    int taken[2] = {}, stolen[2] = {};
    parallel(
        [&] {
          deque.push(1);
          deque.push(2);
          taken[0] = deque.take();
          taken[1] = deque.take();
        },
        [&] {
          stolen[0] = deque.steal();
          stolen[1] = deque.steal();
        });
    for (const int value : {1, 2}) {
      const int times =
          (taken[0] == value) + (taken[1] == value) + (stolen[0] == value) + (stolen[1] == value);
      INTERLEAVE_EXPECT(times <= 1);  // <-- ChaseLevStealsWithoutAFence
    }
  });
}

// Without the release fence a thief may see the new bottom and still the old slot.
TEST(Wrong, ChaseLevPushesWithoutAFence) {
  expect_wrong(Verdict::assertion, [] {
    ChaseLevDeque<memory_order_seq_cst, memory_order_seq_cst, memory_order_acquire> deque;
    int stolen = 0;
    parallel([&] { deque.push(1); }, [&] { stolen = deque.steal(); });
    INTERLEAVE_EXPECT(stolen != 0);  // <-- ChaseLevPushesWithoutAFence
  });
}

}  // namespace
}  // namespace interleave::test
