// Memory given back while others may still look at it: whose turn it is to free is never in doubt.
#include "support/scenario.h"

namespace interleave::test {
namespace {

struct Object {
  explicit Object(int v) : value(v) {}
  var<int> value;
};

TEST(Correct, RcuLikeReadersAreWaitedFor) {
  expect_executions(3, [] {
    atomic<Object*> current{new Object(1)};
    atomic<int> readers{0};
    parallel(
        [&] {
          readers.fetch_add(1, memory_order_seq_cst);
          const int seen = current.load(memory_order_seq_cst)->value.get();
          INTERLEAVE_EXPECT(seen == 1 || seen == 2);
          readers.fetch_sub(1, memory_order_release);
        },
        [&] {
          const Object* old = current.exchange(new Object(2), memory_order_seq_cst);
          await(
              readers, [](int count) { return count == 0; }, memory_order_seq_cst);
          delete old;
        });
    delete current.load(memory_order_relaxed);
  });
}

TEST(Correct, HazardPointer) {
  expect_executions(8, [] {
    Object* const object = new Object(1);
    atomic<Object*> shared{object}, hazard{nullptr};
    bool kept = false;
    parallel(
        [&] {
          Object* found = shared.load(memory_order_relaxed);
          hazard.store(found, memory_order_relaxed);
          interleave::atomic_thread_fence(memory_order_seq_cst);
          if (shared.load(memory_order_acquire) == found && found != nullptr) {
            INTERLEAVE_EXPECT(found->value.get() == 1);
          }
          hazard.store(nullptr, memory_order_release);
        },
        [&] {
          Object* old = shared.exchange(nullptr, memory_order_acq_rel);
          interleave::atomic_thread_fence(memory_order_seq_cst);
          kept = hazard.load(memory_order_acquire) == old;
          if (!kept) delete old;
        });
    if (kept) delete object;
  });
}

TEST(Correct, ReferenceCount) {
  expect_executions(6, [] {  // the decrements' order
    struct Counted {
      atomic<int> references{3};
      var<int> value = 5;
    };
    auto* object = new Counted;
    const auto release = [object] {
      INTERLEAVE_EXPECT(object->value.get() == 5);
      if (object->references.fetch_sub(1, memory_order_acq_rel) == 1) delete object;
    };
    parallel(release, release, release);
  });
}

}  // namespace
}  // namespace interleave::test
