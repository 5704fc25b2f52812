#include "sync/ref.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace millrace::sync {
namespace {

std::atomic<int> destroyed{0};

struct Counted final : RefCounted {
  int written = 0;  // plain: R1 orders it before the destruction
  ~Counted() override {
    EXPECT_NE(written, -1);
    destroyed.fetch_add(1);
  }
};

TEST(Ref, TheLastOneDestroys) {
  destroyed = 0;
  Ref<Counted> a = make_ref<Counted>();
  Ref<Counted> b = a;
  Ref<Counted> c = std::move(a);
  EXPECT_FALSE(a);
  b = Ref<Counted>();
  EXPECT_EQ(destroyed, 0);
  c = c;  // NOLINT: self-assignment keeps it
  EXPECT_EQ(destroyed, 0);
  c = {};
  EXPECT_EQ(destroyed, 1);
}

TEST(Ref, ReleasedAndAdoptedAgainIsTheSameReference) {
  destroyed = 0;
  Counted* raw = make_ref<Counted>().release();
  EXPECT_EQ(destroyed, 0);
  { const Ref<Counted> again = Ref<Counted>::adopt(raw); }
  EXPECT_EQ(destroyed, 1);
}

TEST(Ref, DestroyedOnceUnderThreads) {
  destroyed = 0;
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    Ref<Counted> first = make_ref<Counted>();
    std::thread other([copy = first]() mutable {
      const Ref<Counted> mine = std::move(copy);
      static_cast<void>(mine->written);
    });
    first = {};
    other.join();
  }
  EXPECT_EQ(destroyed, kRounds);
}

}  // namespace
}  // namespace millrace::sync
