// A sequence lock over two words: the reader without its fence takes half of one write and half of another.
//
// The second load of the sequence may be ordered before the loads of the data unless a fence forbids it; an
// acquire load orders what follows it, and nothing follows here.
#include "example.h"

namespace {

using namespace interleave;

template <bool Fence>
class SeqLock {
 public:
  /// One writer at a time.
  void write(int value) {
    const int sequence = sequence_.load(memory_order_relaxed);  // only this thread changes it
    sequence_.store(sequence + 1, memory_order_relaxed);
    // release: whoever reads the data below and then fences sees the odd sequence.
    interleave::atomic_thread_fence(memory_order_release);
    first_.store(value, memory_order_relaxed);
    second_.store(value, memory_order_relaxed);
    sequence_.store(sequence + 2, memory_order_release);  // pairs with the acquire in read
  }

  bool read(int& first, int& second) const {
    const int sequence = sequence_.load(memory_order_acquire);
    if (sequence % 2 != 0) return false;
    first = first_.load(memory_order_relaxed);
    second = second_.load(memory_order_relaxed);
    if (Fence) interleave::atomic_thread_fence(memory_order_acquire);
    return sequence_.load(memory_order_relaxed) == sequence;
  }

 private:
  atomic<int> sequence_{0};
  atomic<int> first_{0};
  atomic<int> second_{0};
};

template <bool Fence>
void scenario() {
  SeqLock<Fence> lock;
  example::parallel(
      [&] {
        lock.write(1);
        lock.write(2);
      },
      [&] {
        int first = 0, second = 0;
        if (lock.read(first, second)) INTERLEAVE_EXPECT(first == second);
      });
}

}  // namespace

int main(int argc, char** argv) {
  return example::run(
      argc, argv,
      {{"unfenced", Verdict::assertion, scenario<false>}, {"fenced", Verdict::pass, scenario<true>}});
}
