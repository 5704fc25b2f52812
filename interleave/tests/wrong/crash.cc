// Code under test that crashes: the run fails, the checker does not.
#include <unistd.h>

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

// Not at a line of the C library's, whether those are known or not.
TEST(Wrong, Aborts) {
  expect_wrong(Verdict::crash, [] {
    atomic<int> order{0};
    const auto work = [&] {
      if (order.fetch_add(1, memory_order_relaxed) == 1) std::abort();  // <-- Aborts
    };
    parallel(work, work);
  });
}

using End = void (*)(int);

void first_exits(End end) {
  atomic<int> order{0};
  const auto work = [&] {
    if (order.fetch_add(1, memory_order_relaxed) == 1) end(0);
  };
  parallel(work, work);
}

// With all being well, of which the checks to come would be a part.
TEST(Wrong, Exits) {
  expect_wrong(Verdict::misuse, [] {
    parallel([] { std::exit(0); });  // <-- Exits
  });
  Options options;
  for (const End end : {End(&std::exit), End(&std::quick_exit), End(&_exit), End(&std::_Exit)}) {
    for (options.workers = 1; options.workers <= 2; ++options.workers) {
      EXPECT_EQ(check(options, [end] { first_exits(end); }).verdict, Verdict::misuse);
    }
  }
}

TEST(Wrong, ChecksGoOnAfterACrash) {
  EXPECT_EQ(check([] { std::raise(SIGFPE); }).verdict, Verdict::crash);
  EXPECT_TRUE(check([] { (void)choose(3); }).proved());
}

}  // namespace
}  // namespace interleave::test
