// Treiber's stack: orders too weak, and memory given back too early.
#include "support/treiber.h"

#include "support/wrong.h"

namespace interleave::test {
namespace {

// The popper reads a node that was published without what is in it.
TEST(Wrong, TreiberPublishedRelaxed) {
  expect_wrong(Verdict::race, [] {
    TreiberStack<memory_order_relaxed> stack;
    TreiberNode node(1);
    parallel([&] { stack.push(&node); }, [&] { stack.pop(); });
  });
}

TEST(Wrong, TreiberTakenRelaxed) {
  expect_wrong(Verdict::race, [] {
    TreiberStack<memory_order_release, memory_order_relaxed> stack;
    TreiberNode node(1);
    parallel([&] { stack.push(&node); }, [&] { stack.pop(); });
  });
}

// Another popper may be about to read the node's next.
TEST(Wrong, TreiberFreesWhatItPops) {
  expect_wrong(Verdict::use_after_free, [] {
    TreiberStack<> stack;
    stack.push(new TreiberNode(1));
    stack.push(new TreiberNode(2));
    parallel([&] { delete stack.pop(); }, [&] { delete stack.pop(); });
  });
}

// The first popper reads head and next and pauses; the second pops both nodes and pushes the first one again:
// the exchange of head succeeds, and the second node, long gone, is the head.
TEST(Wrong, TreiberAba) {
  expect_wrong(Verdict::assertion, [] {
    TreiberStack<memory_order_release, memory_order_acquire, TreiberReusedNode> stack;
    TreiberReusedNode one, two;
    stack.push(&two);
    stack.push(&one);
    TreiberReusedNode* kept = nullptr;
    parallel([&] { stack.pop(); },
             [&] {
               TreiberReusedNode* first = stack.pop();
               kept = stack.pop();
               if (first != nullptr) stack.push(first);
             });
    for (TreiberReusedNode* left = stack.pop(); left != nullptr; left = stack.pop()) {
      INTERLEAVE_EXPECT(left != kept);  // <-- TreiberAba
    }
  });
}

}  // namespace
}  // namespace interleave::test
