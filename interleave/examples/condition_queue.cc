// A queue of a mutex and a condition variable whose producer notifies only if the queue was empty: a wake-up
// is lost.
//
// Two consumers sleep. The first item wakes one of them, which does not run yet; the second item finds the
// queue not empty, and wakes nobody. One consumer takes an item, the other sleeps on beside the second.
#include "example.h"

namespace {

using namespace interleave;

template <bool OnlyWhenItWasEmpty>
class Queue {
 public:
  void push(int item) {
    const std::lock_guard guard(lock_);
    const bool was_empty = count_ == 0;
    items_[count_++] = item;
    if (was_empty || !OnlyWhenItWasEmpty) filled_.notify_one();
  }

  int pop() {
    std::unique_lock guard(lock_);
    while (count_ == 0) filled_.wait(guard);
    return items_[--count_];
  }

 private:
  mutex lock_;                 // over all of it
  condition_variable filled_;  // count_ has grown
  int items_[2] = {};
  int count_ = 0;
};

template <bool OnlyWhenItWasEmpty>
void scenario() {
  Queue<OnlyWhenItWasEmpty> queue;
  int first = 0, second = 0;
  example::parallel([&] { first = queue.pop(); }, [&] { second = queue.pop(); },
                    [&] {
                      queue.push(1);
                      queue.push(2);
                    });
  INTERLEAVE_EXPECT(first + second == 3);
}

}  // namespace

int main(int argc, char** argv) {
  return example::run(
      argc, argv,
      {{"when-empty", Verdict::lost_wakeup, scenario<true>}, {"every-time", Verdict::pass, scenario<false>}});
}
