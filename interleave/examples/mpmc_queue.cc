// A bounded queue for many producers and consumers (Vyukov's): a sequence number in each cell says whose turn
// it is.
//
// The number's store publishes what the cell holds, or that it may be overwritten; relaxed, it publishes
// nothing.
#include "example.h"

namespace {

using namespace interleave;

template <std::memory_order Publish>
class Queue {
 public:
  Queue() {
    for (unsigned i = 0; i < kCells; ++i) cells_[i].turn.store(i, memory_order_relaxed);
  }

  bool push(int value) {
    unsigned at = tail_.load(memory_order_relaxed);
    while (true) {
      Cell& cell = cells_[at % kCells];
      const unsigned turn = cell.turn.load(memory_order_acquire);  // pairs with the store in pop
      if (turn != at) {
        if (static_cast<int>(turn - at) < 0) return false;  // full
        at = tail_.load(memory_order_relaxed);
      } else if (tail_.compare_exchange_weak(at, at + 1, memory_order_relaxed, memory_order_relaxed)) {
        cell.value.set(value);
        cell.turn.store(at + 1, Publish);
        return true;
      }
    }
  }

  bool pop(int& value) {
    unsigned at = head_.load(memory_order_relaxed);
    while (true) {
      Cell& cell = cells_[at % kCells];
      const unsigned turn = cell.turn.load(memory_order_acquire);  // pairs with the store in push
      if (turn != at + 1) {
        if (static_cast<int>(turn - at - 1) < 0) return false;  // empty
        at = head_.load(memory_order_relaxed);
      } else if (head_.compare_exchange_weak(at, at + 1, memory_order_relaxed, memory_order_relaxed)) {
        value = cell.value.get();
        cell.turn.store(at + kCells, Publish);
        return true;
      }
    }
  }

 private:
  static constexpr unsigned kCells = 2;
  struct Cell {
    atomic<unsigned> turn;
    var<int> value;
  };
  Cell cells_[kCells];
  atomic<unsigned> tail_{0};
  atomic<unsigned> head_{0};
};

template <std::memory_order Publish>
void scenario() {
  Queue<Publish> queue;
  int popped[2] = {};
  example::parallel([&] { INTERLEAVE_EXPECT(queue.push(1)); }, [&] { INTERLEAVE_EXPECT(queue.push(2)); },
                    [&] {
                      for (int& value : popped) queue.pop(value);
                    });
  int left = 0, count = 0;
  while (queue.pop(left)) ++count;
  for (const int value : popped) count += value != 0;
  INTERLEAVE_EXPECT(count == 2);
  INTERLEAVE_EXPECT(popped[0] == 0 || popped[0] != popped[1]);
}

}  // namespace

int main(int argc, char** argv) {
  return example::run(argc, argv,
                      {{"relaxed", Verdict::race, scenario<std::memory_order_relaxed>},
                       {"released", Verdict::pass, scenario<std::memory_order_release>}});
}
