// Memory used after it was freed, freed twice, or never.
#include <cstdint>
#include <new>

#include "support/wrong.h"

namespace interleave::test {
namespace {

struct Object {
  explicit Object(int v) : value(v) {}
  var<int> value;
};

// The count is read, found above zero, and raised: in between the last owner may have gone.
TEST(Wrong, ReferenceTakenTooLate) {
  expect_wrong(Verdict::use_after_free, [] {
    struct Counted {
      atomic<int> references{1};
    };
    auto* object = new Counted;
    parallel(
        [=] {
          if (object->references.fetch_sub(1, memory_order_acq_rel) == 1) delete object;
        },
        [=] {
          if (object->references.load(memory_order_acquire) == 0) return;  // <-- ReferenceTakenTooLate
          object->references.fetch_add(1, memory_order_acquire);           // <-- ReferenceTakenTooLate
          const int before =
              object->references.fetch_sub(1, memory_order_acq_rel);  // <-- ReferenceTakenTooLate
          if (before == 1) delete object;
        });
  });
}

// Store, then load of another location: without SC both sides may miss the other.
TEST(Wrong, HazardPointerWithoutAFence) {
  expect_wrong(Verdict::use_after_free, [] {
    auto* const object = new Object(1);
    atomic<Object*> shared{object}, hazard{nullptr};
    bool kept = false;
    parallel(
        [&] {
          Object* found = shared.load(memory_order_relaxed);
          if (found == nullptr) return;
          hazard.store(found, memory_order_release);
          if (shared.load(memory_order_acquire) == found)
            found->value.get();  // <-- HazardPointerWithoutAFence
          hazard.store(nullptr, memory_order_release);
        },
        [&] {
          Object* old = shared.exchange(nullptr, memory_order_acq_rel);
          kept = hazard.load(memory_order_acquire) == old;
          if (!kept) delete old;
        });
    if (kept) delete object;
  });
}

TEST(Wrong, RcuLikeAcquireRelease) {
  expect_wrong(Verdict::use_after_free, [] {
    atomic<Object*> current{new Object(1)};
    atomic<int> readers{0};
    const auto none = [](int count) { return count == 0; };
    parallel(
        [&] {
          readers.store(1, memory_order_release);
          current.load(memory_order_acquire)->value.get();  // <-- RcuLikeAcquireRelease
          readers.store(0, memory_order_release);
        },
        [&] {
          const Object* old = current.exchange(new Object(2), memory_order_acq_rel);
          await(readers, none, memory_order_acquire);
          delete old;
        });
    delete current.load(memory_order_relaxed);
  });
}

TEST(Wrong, UsedAfterDelete) {
  expect_wrong(Verdict::use_after_free, [] {
    auto* object = new Object(1);
    delete object;
    object->value.get();  // <-- UsedAfterDelete
  });
}

TEST(Wrong, ThreadOutlivesAnAtomic) {
  expect_wrong(Verdict::use_after_free, [] {
    auto* flag = new atomic<int>(0);
    thread worker([=] { flag->store(1, memory_order_relaxed); });  // <-- ThreadOutlivesAnAtomic
    delete flag;
    worker.join();
  });
}

TEST(Wrong, DeletedByBoth) {
  expect_wrong(Verdict::double_free, [] {
    atomic<int*> shared{new int(1)};
    const auto take = [&] {
      int* mine = shared.load(memory_order_acquire);
      if (mine == nullptr) return;
      shared.store(nullptr, memory_order_release);
      delete mine;  // <-- DeletedByBoth
    };
    parallel(take, take);
  });
}

TEST(Wrong, DeletedTwice) {
  expect_wrong(Verdict::double_free, [] {
    auto* object = new Object(1);
    atomic<Object*> same{object};
    delete object;
    delete same.load(memory_order_relaxed);  // <-- DeletedTwice
  });
}

// The loser of the race to initialise forgets its own object.
TEST(Wrong, LoserForgetsItsObject) {
  expect_wrong(Verdict::leak, [] {
    atomic<int*> shared{nullptr};
    const auto initialise = [&] {
      int* expected = nullptr;
      int* mine = new int(1);  // <-- LoserForgetsItsObject
      shared.compare_exchange_strong(expected, mine, memory_order_acq_rel, memory_order_acquire);
    };
    parallel(initialise, initialise);
    delete shared.load(memory_order_relaxed);
  });
}

// Load, then store: a node pushed in between is overwritten.
TEST(Wrong, PushThatOverwrites) {
  struct Node {
    Node* next;
  };
  expect_wrong(Verdict::leak, [] {
    atomic<Node*> head{nullptr};
    const auto push = [&] {
      auto* node = new Node{head.load(memory_order_acquire)};  // <-- PushThatOverwrites
      head.store(node, memory_order_release);
    };
    parallel(push, push);
    for (Node* node = head.load(memory_order_relaxed); node != nullptr;)
      delete std::exchange(node, node->next);
  });
}

TEST(Wrong, AllocationFailureLeaksTheFirst) {
  Options options;
  options.allocation_failures = true;
  expect_wrong(
      Verdict::leak,
      [] {
        try {
          auto* first = new Object(1);  // <-- AllocationFailureLeaksTheFirst
          auto* second = new Object(2);
          delete second;
          delete first;
        } catch (const std::bad_alloc&) {
        }
      },
      options);
}

// With addresses reused, the exchange takes a new node for the old one and installs what that one's next was.
TEST(Wrong, AbaThroughTheAllocator) {
  struct Node {
    explicit Node(int v) : value(v) {}
    int value;
  };
  Options options;
  options.address_reuse = true;
  expect_wrong(
      Verdict::assertion,
      [] {
        atomic<Node*> current{new Node(1)};
        int seen = 0;
        bool replaced = false;
        parallel(
            [&] {
              Node* mine = current.load(memory_order_acquire);
              seen = 1;  // what it believes the value to be
              auto* fresh = new Node(3);
              replaced =
                  current.compare_exchange_strong(mine, nullptr, memory_order_acq_rel, memory_order_acquire);
              if (replaced) {
                INTERLEAVE_EXPECT(mine->value == seen);  // <-- AbaThroughTheAllocator
                delete mine;
              }
              delete fresh;
            },
            [&] {
              Node* old = current.exchange(nullptr, memory_order_acq_rel);
              if (old == nullptr) return;
              delete old;
              current.store(new Node(2), memory_order_release);
            });
        delete current.load(memory_order_relaxed);
      },
      options);
}

TEST(Wrong, StaticMemoryFreed) {
  static int numbers[40];
  expect_wrong(Verdict::double_free, [] {
    int* volatile middle = &numbers[4];
    ::operator delete(middle);  // <-- StaticMemoryFreed
  });
}

TEST(Wrong, StackMemoryFreed) {
  expect_wrong(Verdict::double_free, [] {
    int number = 0;
    int* volatile here = &number;
    ::operator delete(here);  // <-- StackMemoryFreed
  });
}

// The checker's own limits are no failures of the allocation, which the test could take for granted.
TEST(Wrong, AllocatesMoreThanARunHas) {
  expect_wrong(Verdict::limit, [] {
    void* large = ::operator new (std::size_t{100} << 20, std::nothrow);  // <-- AllocatesMoreThanARunHas
    if (large == nullptr) return;
    ::operator delete(large);
  });
}

TEST(Wrong, AllocatesTooOften) {
  expect_wrong(Verdict::limit, [] {
    for (int i = 0; i < 40; ++i) {
      char* volatile block = new char[std::size_t{2} << 20];  // <-- AllocatesTooOften
      delete[] block;
    }
  });
}

// No system has that much.
TEST(Wrong, AllocatesMoreThanThereIs) {
  EXPECT_TRUE(check([] {
                volatile std::size_t most = SIZE_MAX;
                expect(::operator new(most, std::nothrow) == nullptr);
              }).proved());
}

}  // namespace
}  // namespace interleave::test
