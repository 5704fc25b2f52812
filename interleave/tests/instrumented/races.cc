// Plain data without a wrapper: the compiler's instrumentation says what is read and written.
#include <cstring>
#include <memory>
#include <string>

#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, PlainInt) {
  expect_wrong(Verdict::race, [] {
    int data = 0;
    atomic<bool> ready{false};
    parallel(
        [&] {
          data = 1;  // <-- PlainInt
          ready.store(true, memory_order_relaxed);
        },
        [&] {
          if (ready.load(memory_order_acquire)) data = 2;  // <-- PlainInt
        });
  });
}

TEST(Wrong, PlainReadOfALocalOfAnotherThread) {
  expect_wrong(Verdict::race, [] {
    atomic<int*> shared{nullptr};
    int seen = 0;
    parallel(
        [&] {
          int local = 1;
          shared.store(&local, memory_order_release);
          local = 2;  // <-- PlainReadOfALocalOfAnotherThread
          shared.store(nullptr, memory_order_relaxed);
        },
        [&] {
          if (const int* other = shared.load(memory_order_acquire))
            seen = *other;  // <-- PlainReadOfALocalOfAnotherThread
        });
  });
}

TEST(Wrong, PlainStructCopied) {
  struct Pair {
    long first = 0, second = 0;
  };
  expect_wrong(Verdict::race, [] {
    Pair shared, mine;
    parallel([&] { shared.second = 1; },  // <-- PlainStructCopied
             [&] { mine = shared; });     // <-- PlainStructCopied
  });
}

TEST(Wrong, PlainMemcpy) {
  expect_wrong(Verdict::race, [] {
    char from[64] = {}, to[64] = {};
    parallel([&] { from[40] = 1; },                         // <-- PlainMemcpy
             [&] { std::memcpy(to, from, sizeof from); });  // <-- PlainMemcpy
  });
}

TEST(Wrong, PlainMemset) {
  expect_wrong(Verdict::race, [] {
    char shared[64] = {};
    char seen = 0;
    parallel([&] { std::memset(shared, 1, sizeof shared); },  // <-- PlainMemset
             [&] { seen = shared[63]; });                     // <-- PlainMemset
  });
}

TEST(Wrong, PlainBitsOfOneWord) {
  struct Flags {
    unsigned first : 1, second : 1;
  };
  expect_wrong(Verdict::race, [] {
    Flags flags{0, 0};
    parallel([&] { flags.first = 1; },    // <-- PlainBitsOfOneWord
             [&] { flags.second = 1; });  // <-- PlainBitsOfOneWord
  });
}

TEST(Wrong, PlainUseAfterFree) {
  expect_wrong(Verdict::use_after_free, [] {
    auto shared = std::make_unique<atomic<int*>>(new int(1));
    int seen = 0;
    parallel([&] { delete shared->exchange(nullptr, memory_order_acq_rel); },
             [&] {
               int* mine = shared->load(memory_order_acquire);
               if (mine != nullptr) seen = *mine;  // <-- PlainUseAfterFree
             });
  });
}

// The child of a fork may find it half written.
TEST(Wrong, PlainDataThatTheChildReads) {
  expect_wrong(Verdict::race, [] {
    int value = 0;
    thread other([&] { value = 1; });  // <-- PlainDataThatTheChildReads
    if (fork() == 0) {
      const int seen = value;  // <-- PlainDataThatTheChildReads
      INTERLEAVE_EXPECT(seen < 2);
      other.detach();
    } else {
      other.join();
    }
  });
}

}  // namespace
}  // namespace interleave::test
