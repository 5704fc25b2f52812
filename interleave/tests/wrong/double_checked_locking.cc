// Double-checked locking: the second check is right, the first one has to synchronise too.
#include "support/wrong.h"

namespace interleave::test {
namespace {

struct Lazy {
  void get(memory_order load, memory_order store) {
    var<int>* found = instance.load(load);
    if (found == nullptr) {
      const std::lock_guard guard(lock);
      found = instance.load(memory_order_relaxed);
      if (found == nullptr) {
        object.set(7);  // <-- DoubleCheckedLoadRelaxed, DoubleCheckedStoreRelaxed
        found = &object;
        instance.store(found, store);
      }
    }
    found->get();  // <-- DoubleCheckedLoadRelaxed, DoubleCheckedStoreRelaxed
  }

  atomic<var<int>*> instance{nullptr};
  mutex lock;
  var<int> object = 0;
};

TEST(Wrong, DoubleCheckedLoadRelaxed) {
  expect_wrong(Verdict::race, [] {
    Lazy lazy;
    const auto get = [&] { lazy.get(memory_order_relaxed, memory_order_release); };
    parallel(get, get);
  });
}

TEST(Wrong, DoubleCheckedStoreRelaxed) {
  expect_wrong(Verdict::race, [] {
    Lazy lazy;
    const auto get = [&] { lazy.get(memory_order_acquire, memory_order_relaxed); };
    parallel(get, get);
  });
}

// Without the second check both threads construct it, and one of the two objects is lost.
TEST(Wrong, CheckedOnceOnly) {
  expect_wrong(Verdict::leak, [] {
    atomic<int*> instance{nullptr};
    mutex lock;
    const auto get = [&] {
      if (instance.load(memory_order_acquire) != nullptr) return;
      const std::lock_guard guard(lock);
      instance.store(new int(7), memory_order_release);  // <-- CheckedOnceOnly
    };
    parallel(get, get);
    delete instance.load(memory_order_relaxed);
  });
}

}  // namespace
}  // namespace interleave::test
