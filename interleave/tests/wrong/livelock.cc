// Loops that wait for a value that nobody is going to store.
#include "support/wrong.h"

namespace interleave::test {
namespace {

TEST(Wrong, AwaitNeverStored) {
  expect_wrong(Verdict::livelock, [] {
    atomic<int> value{0};
    const auto is_two = [](int now) { return now == 2; };
    parallel([&] { value.store(1, memory_order_relaxed); },
             [&] { await(value, is_two, memory_order_relaxed); });  // <-- AwaitNeverStored
  });
}

// Up for a moment only: a loop that looks before and after it goes round for ever.
TEST(Wrong, AwaitMissesThePulse) {
  expect_wrong(Verdict::livelock, [] {
    atomic<bool> pulse{false};
    const auto is_up = [](bool now) { return now; };
    parallel(
        [&] {
          pulse.store(true, memory_order_release);
          pulse.store(false, memory_order_release);
        },
        [&] { await(pulse, is_up, memory_order_acquire); });  // <-- AwaitMissesThePulse
  });
}

// The clock stands still: time passes by sleeping and by waits that time out.
TEST(Wrong, YieldsUntilATimeThatNeverComes) {
  expect_wrong(Verdict::livelock, [] {
    parallel([] {
      const auto deadline = clock::now() + std::chrono::seconds(1);
      while (clock::now() < deadline) yield();  // <-- YieldsUntilATimeThatNeverComes
    });
  });
  const Result alone = check([] {
    for (;;) yield();
  });
  EXPECT_EQ(alone.verdict, Verdict::livelock) << summary(alone);
  EXPECT_NE(alone.message.find("yields in a loop that reads nothing"), std::string::npos) << alone.message;
}

TEST(Wrong, SpinOnAFlagNobodySets) {
  expect_wrong(Verdict::livelock, [] {
    atomic<bool> ready{false};
    parallel([&] {
      while (!ready.load(memory_order_acquire)) yield();  // <-- SpinOnAFlagNobodySets
    });
  });
}

// Both raise their flag and wait for the other's to fall.
TEST(Wrong, BothPolite) {
  expect_wrong(Verdict::livelock, [] {
    atomic<bool> flag[2] = {false, false};
    const auto enter = [&](int me) {
      flag[me].store(true, memory_order_seq_cst);
      while (flag[1 - me].load(memory_order_seq_cst)) yield();  // <-- BothPolite
      flag[me].store(false, memory_order_seq_cst);
    };
    parallel([&] { enter(0); }, [&] { enter(1); });
  });
}

// The ticket is lost when its holder returns early: nobody is served after it.
TEST(Wrong, TicketNeverServed) {
  expect_wrong(Verdict::livelock, [] {
    atomic<int> next{0}, serving{0};
    const auto work = [&](bool gives_up) {
      const int ticket = next.fetch_add(1, memory_order_relaxed);
      if (gives_up) return;
      const auto served = [ticket](int now) { return now == ticket; };
      await(serving, served, memory_order_acquire);  // <-- TicketNeverServed
      serving.store(ticket + 1, memory_order_release);
    };
    parallel([&] { work(true); }, [&] { work(false); });
  });
}

}  // namespace
}  // namespace interleave::test
