// The queue of Michael and Scott: first in, first out, and nothing lost.
#include "support/michael_scott.h"

#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, MichaelScottTwoEnqueues) {
  expect_executions(16, [] {
    QueueNode dummy, one(1), two(2);
    MichaelScottQueue<> queue(&dummy);
    parallel([&] { queue.enqueue(&one); }, [&] { queue.enqueue(&two); });
    const int first = queue.dequeue();
    INTERLEAVE_EXPECT(first + queue.dequeue() == 3);
    INTERLEAVE_EXPECT(queue.dequeue() == -1);
  });
}

TEST(Correct, MichaelScottOrderOfOneProducer) {
  expect_executions(24, [] {
    QueueNode dummy, one(1), two(2);
    MichaelScottQueue<> queue(&dummy);
    int first = 0, second = 0;
    parallel(
        [&] {
          queue.enqueue(&one);
          queue.enqueue(&two);
        },
        [&] {
          first = queue.dequeue();
          second = queue.dequeue();
        });
    INTERLEAVE_EXPECT(first == -1 || first == 1);
    INTERLEAVE_EXPECT(second == -1 || second == (first == 1 ? 2 : 1));
  });
}

TEST(Correct, MichaelScottEnqueueAgainstTwoDequeues) {
  expect_executions(39, [] {
    QueueNode dummy, one(1);
    MichaelScottQueue<> queue(&dummy);
    int taken[2] = {};
    parallel([&] { queue.enqueue(&one); }, [&] { taken[0] = queue.dequeue(); },
             [&] { taken[1] = queue.dequeue(); });
    INTERLEAVE_EXPECT(taken[0] == -1 || taken[1] == -1);
  });
}

}  // namespace
}  // namespace interleave::test
