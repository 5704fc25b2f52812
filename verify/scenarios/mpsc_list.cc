// The list that any thread pushes to and one empties.
#include "sync/mpsc_list.h"

#include "scenario.h"

namespace millrace::verify {
namespace {

using interleave::thread;

struct Node {
  Node* next = nullptr;
  int value = 0;
  int taken = 0;
};

int take_all(sync::MpscList<Node>& list) {
  int count = 0;
  for (Node* node = list.take_all(); node != nullptr; ++count) {
    Node* const next = node->next;
    INTERLEAVE_EXPECT(node->value == 7);
    ++node->taken;
    node = next;
  }
  return count;
}

void push(sync::MpscList<Node>& list, Node& node) {
  node.value = 7;
  list.push(&node);
}

const Register push_against_take("mpsc_list.push_against_take", "L1 L2", [] {
  sync::MpscList<Node> list;
  Node first, second;
  thread one([&] { push(list, first); });
  thread two([&] { push(list, second); });
  const int early = take_all(list);
  one.join();
  two.join();
  INTERLEAVE_EXPECT(early + take_all(list) == 2);
  INTERLEAVE_EXPECT(first.taken == 1 && second.taken == 1);
  INTERLEAVE_EXPECT(list.empty());
});

const Register two_take("mpsc_list.two_take", "L1 L2", [] {
  sync::MpscList<Node> list;
  Node first, second;
  push(list, first);
  int taken = 0;
  thread pusher([&] { push(list, second); });
  thread taker([&] { taken = take_all(list); });
  int all = take_all(list);
  pusher.join();
  taker.join();
  all += taken + take_all(list);
  INTERLEAVE_EXPECT(all == 2);
  INTERLEAVE_EXPECT(first.taken == 1 && second.taken == 1);
});

// A node that was taken and pushed again is at the head once more, with another next (ABA).
const Register pushed_again("mpsc_list.pushed_again", "L1 L2", [] {
  sync::MpscList<Node> list;
  Node first, second;
  push(list, first);
  thread pusher([&] { push(list, second); });
  int all = 0;
  if (Node* const node = list.take_all()) {
    all = node->next != nullptr ? 2 : 1;
    if (node == &first && all == 1) {
      list.push(node);
      --all;
    }
  }
  pusher.join();
  INTERLEAVE_EXPECT(all + take_all(list) == 2);
});

const Register chains("mpsc_list.chains", "L1", [] {
  sync::MpscList<Node> list;
  Node nodes[4];
  const auto push_two = [&](int first) {
    nodes[first].value = nodes[first + 1].value = 7;
    nodes[first].next = &nodes[first + 1];
    list.push_chain(&nodes[first], &nodes[first + 1]);
  };
  thread one([&] { push_two(0); });
  thread two([&] { push_two(2); });
  const int early = take_all(list);
  one.join();
  two.join();
  INTERLEAVE_EXPECT(early + take_all(list) == 4);
});

const Register two_look("mpsc_list.two_look", "L1", [] {
  sync::MpscList<Node> list;
  Node node;
  thread other([&] {
    push(list, node);
    INTERLEAVE_EXPECT(!list.empty());
  });
  static_cast<void>(list.empty());  // a hint
  other.join();
  INTERLEAVE_EXPECT(!list.empty() && take_all(list) == 1);
});

}  // namespace
}  // namespace millrace::verify
