// Treiber's stack: nothing is lost, nothing comes twice.
#include "support/treiber.h"

#include "support/scenario.h"

namespace interleave::test {
namespace {

TEST(Correct, TreiberTwoPushes) {
  expect_executions(4, [] {
    TreiberStack<> stack;
    TreiberNode one(1), two(2);
    parallel([&] { stack.push(&one); }, [&] { stack.push(&two); });
    const TreiberNode* first = stack.pop();
    const TreiberNode* second = stack.pop();
    INTERLEAVE_EXPECT(first != nullptr && second != nullptr && first != second);
    INTERLEAVE_EXPECT(stack.pop() == nullptr);
  });
}

TEST(Correct, TreiberTwoPushesAndAPop) {
  expect_executions(20, [] {
    TreiberStack<> stack;
    TreiberNode one(1), two(2);
    int popped = 0;
    parallel([&] { stack.push(&one); }, [&] { stack.push(&two); },
             [&] {
               if (const TreiberNode* node = stack.pop()) popped = node->value.get();
             });
    const int left = (stack.pop() != nullptr) + (stack.pop() != nullptr);
    INTERLEAVE_EXPECT(left + (popped != 0) == 2);
  });
}

TEST(Correct, TreiberTwoPopsOfTwo) {
  expect_executions(4, [] {
    TreiberStack<> stack;
    TreiberNode one(1), two(2);
    TreiberNode* popped[2] = {};
    stack.push(&one);
    stack.push(&two);
    parallel([&] { popped[0] = stack.pop(); }, [&] { popped[1] = stack.pop(); });
    INTERLEAVE_EXPECT(popped[0] != nullptr && popped[1] != nullptr && popped[0] != popped[1]);
  });
}

}  // namespace
}  // namespace interleave::test
