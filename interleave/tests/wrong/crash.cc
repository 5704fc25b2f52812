// Code under test that crashes: the run fails, the checker does not.
#include <csignal>
#include <cstdlib>

#include "support/wrong.h"

namespace interleave::test {
namespace {

[[gnu::no_sanitize("undefined")]] void read(const volatile int* at) {
  (void)*at;
}

// The pointer is looked at again after it was found set.
TEST(Wrong, NullDereferenced) {
  const Result result = check([] {
    int value = 1;
    atomic<int*> shared{&value};
    parallel([&] { shared.store(nullptr, memory_order_relaxed); },
             [&] {
               if (shared.load(memory_order_relaxed) == nullptr) return;
               read(shared.load(memory_order_relaxed));
             });
  });
  EXPECT_EQ(result.verdict, Verdict::crash) << summary(result);
  EXPECT_FALSE(result.replay.empty());
}

TEST(Wrong, Aborts) {
  const Result result = check([] {
    atomic<int> order{0};
    const auto work = [&] {
      if (order.fetch_add(1, memory_order_relaxed) == 1) std::abort();
    };
    parallel(work, work);
  });
  EXPECT_EQ(result.verdict, Verdict::crash) << summary(result);
}

TEST(Wrong, ChecksGoOnAfterACrash) {
  EXPECT_EQ(check([] { std::raise(SIGFPE); }).verdict, Verdict::crash);
  EXPECT_TRUE(check([] { (void)choose(3); }).proved());
}

}  // namespace
}  // namespace interleave::test
