// The queue of Michael and Scott: orders too weak, and memory given back too early.
#include "support/michael_scott.h"

#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, MichaelScottLinkedRelaxed) {
  expect_wrong(Verdict::race, [] {
    QueueNode dummy, node;
    MichaelScottQueue<memory_order_relaxed> queue(&dummy);
    parallel(
        [&] {
          node.value.set(1);  // <-- MichaelScottLinkedRelaxed
          queue.enqueue(&node);
        },
        [&] { queue.dequeue(); });
  });
}

TEST(Wrong, MichaelScottFollowedRelaxed) {
  expect_wrong(Verdict::race, [] {
    QueueNode dummy, one, two;
    MichaelScottQueue<memory_order_release, memory_order_relaxed> queue(&dummy);
    parallel(
        [&] {
          one.value.set(1);  // <-- MichaelScottFollowedRelaxed
          queue.enqueue(&one);
          two.value.set(2);  // <-- MichaelScottFollowedRelaxed
          queue.enqueue(&two);
        },
        [&] { queue.dequeue(); });
  });
}

// A second dequeuer has read head and is about to look at its next.
TEST(Wrong, MichaelScottFreesWhatItDequeues) {
  Options options;
  options.leaks = false;  // nobody frees what is left
  expect_wrong(
      Verdict::use_after_free,
      [] {
        MichaelScottQueue<> queue(new QueueNode);
        queue.enqueue(new QueueNode(1));
        parallel(
            [&] {
              if (queue.dequeue() != -1) delete queue.retired;
            },
            [&] { queue.dequeue(); });
      },
      options);
}

}  // namespace
}  // namespace interleave::test
