// A free list of slots, which is Treiber's stack, and the ABA bug: a head that looks unchanged need not be.
//
// A thread reads the head and the slot below it and pauses. Meanwhile the head's slot is taken, the one below
// as well, and the first is given back. The paused thread's compare-exchange finds the head that it knows and
// makes the slot below the new head, although somebody owns it. A count beside the head, raised by every
// change, makes heads differ that are not the same.
#include "example.h"

namespace {

using interleave::atomic;
using interleave::memory_order_acquire;
using interleave::memory_order_relaxed;
using interleave::memory_order_release;

constexpr int kSlots = 2;
constexpr int kNone = -1;

/// The head's slot and, if tagged, how often it has changed.
struct Head {
  int slot;
  unsigned changes;
};

template <bool Tagged>
class FreeList {
 public:
  /// All slots are free, 0 on top.
  FreeList() {
    for (int slot = 0; slot < kSlots; ++slot) {
      below_[slot].store(slot + 1 < kSlots ? slot + 1 : kNone, memory_order_relaxed);
    }
  }

  int take() {
    Head head = head_.load(memory_order_acquire);
    while (head.slot != kNone) {
      const Head next{below_[head.slot].load(memory_order_relaxed), head.changes + (Tagged ? 1 : 0)};
      // acquire: pairs with the release in give, for what was done to the slot before it was given back.
      if (head_.compare_exchange_weak(head, next, memory_order_acquire, memory_order_acquire)) break;
    }
    return head.slot;
  }

  void give(int slot) {
    Head head = head_.load(memory_order_relaxed);
    Head next{};
    do {
      below_[slot].store(head.slot, memory_order_relaxed);
      next = {slot, head.changes + (Tagged ? 1 : 0)};
      // release: pairs with the acquire in take.
    } while (!head_.compare_exchange_weak(head, next, memory_order_release, memory_order_relaxed));
  }

 private:
  atomic<Head> head_{Head{0, 0}};
  atomic<int> below_[kSlots];
};

template <bool Tagged>
void scenario() {
  FreeList<Tagged> list;
  int first = kNone, second = kNone, other = kNone;
  example::parallel([&] { other = list.take(); },
                    [&] {
                      first = list.take();
                      second = list.take();
                      if (first != kNone) list.give(first);
                    });
  // The second thread still owns `second`: nobody else may.
  if (second != kNone) INTERLEAVE_EXPECT(other != second);
  const int last = list.take();
  if (second != kNone) INTERLEAVE_EXPECT(last != second);
}

}  // namespace

int main(int argc, char** argv) {
  return example::run(argc, argv,
                      {{"untagged", interleave::Verdict::assertion, scenario<false>},
                       {"tagged", interleave::Verdict::pass, scenario<true>}});
}
