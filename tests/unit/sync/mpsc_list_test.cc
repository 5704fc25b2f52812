#include "sync/mpsc_list.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace millrace::sync {
namespace {

struct Node {
  Node* next = nullptr;
  int value = 0;
};

TEST(MpscList, GivesTheNewestFirst) {
  MpscList<Node> list;
  Node a{nullptr, 1}, b{nullptr, 2};
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.take_all(), nullptr);
  list.push(&a);
  list.push(&b);
  EXPECT_FALSE(list.empty());
  Node* taken = list.take_all();
  EXPECT_EQ(taken, &b);
  EXPECT_EQ(taken->next, &a);
  EXPECT_EQ(a.next, nullptr);
  EXPECT_TRUE(list.empty());
}

TEST(MpscList, AChainStaysInOrder) {
  MpscList<Node> list;
  Node a{nullptr, 1}, b{nullptr, 2}, c{nullptr, 3};
  list.push(&a);
  b.next = &c;
  list.push_chain(&b, &c);
  Node* taken = list.take_all();
  EXPECT_EQ(taken, &b);
  EXPECT_EQ(taken->next, &c);
  EXPECT_EQ(c.next, &a);
}

// L1, L2: each node is taken once, with what its pusher wrote.
TEST(MpscList, NothingIsLostOrTakenTwiceUnderLoad) {
  constexpr int kThreads = 4, kNodes = 20000;
  MpscList<Node> list;
  std::vector<std::vector<Node>> nodes(kThreads, std::vector<Node>(kNodes));
  std::vector<std::thread> pushers;
  for (int t = 0; t < kThreads; ++t) {
    pushers.emplace_back([&, t] {
      for (int i = 0; i < kNodes; ++i) {
        nodes[t][i].value = t * kNodes + i + 1;
        list.push(&nodes[t][i]);
      }
    });
  }
  std::vector<int> seen(kThreads * kNodes, 0);
  int total = 0;
  while (total < kThreads * kNodes) {
    for (Node* node = list.take_all(); node != nullptr;) {
      Node* next = node->next;
      ASSERT_GT(node->value, 0);
      ++seen[node->value - 1];
      ++total;
      node = next;
    }
  }
  for (auto& thread : pushers) thread.join();
  for (int count : seen) ASSERT_EQ(count, 1);
}

}  // namespace
}  // namespace millrace::sync
