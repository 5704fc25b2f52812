// check's options: what is explored, what is left out, and that the verdict says so.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interleave/interleave.h"
#include "support/scenario.h"

namespace interleave::test {
namespace {

void store_buffering() {
  atomic<int> x{0}, y{0};
  parallel(
      [&] {
        x.store(1, memory_order_relaxed);
        (void)y.load(memory_order_relaxed);
      },
      [&] {
        y.store(1, memory_order_relaxed);
        (void)x.load(memory_order_relaxed);
      });
}

/// Fails in one of its executions: all three stores of the one thread between the two loads of the other.
void rare_failure() {
  atomic<int> x{0};
  parallel(
      [&] {
        for (int i = 1; i <= 3; ++i) x.store(i, memory_order_relaxed);
      },
      [&] {
        const int first = x.load(memory_order_relaxed);
        INTERLEAVE_EXPECT(!(first == 0 && x.load(memory_order_relaxed) == 3));
      });
}

TEST(Check, ModelsDiffer) {
  EXPECT_EQ(check(store_buffering).executions, 4U);
  Options options;
  options.model = Model::sc;
  EXPECT_EQ(check(options, store_buffering).executions, 3U);
}

TEST(Check, OutsideOfThreadsThereIsOneExecution) {
  const Result result = check([] {
    atomic<int> x{1};
    INTERLEAVE_EXPECT(x.load() == 1);
  });
  EXPECT_TRUE(result.proved());
  EXPECT_EQ(result.executions, 1U);
}

TEST(Check, WorkersShareTheWork) {
  Options options;
  options.workers = 2;
  for (int i = 0; i < 30; ++i) {  // how they share it is a matter of time
    const Result result = check(options, six_increments);
    ASSERT_TRUE(result.proved()) << summary(result);
    ASSERT_EQ(result.executions, 720U) << "in round " << i;
  }
}

TEST(Check, WorkersFindWhatIsWrong) {
  Options options;
  options.workers = 2;
  EXPECT_EQ(check(options, rare_failure).verdict, Verdict::assertion);
}

/// Hours of executions.
void endless() {
  atomic<int> x{0};
  const auto add = [&] { x.fetch_add(1, memory_order_relaxed); };
  parallel(add, add, add, add, add, add, add, add, add, add, add, add);
}

TEST(Check, AWorkerThatDiesEndsTheCheckAndIsSaid) {
  Options options;
  options.workers = 3;
  const pid_t first = getpid();
  const Result result = check(options, [&] {
    endless();
    if (getpid() != first) raise(SIGKILL);
  });
  EXPECT_EQ(result.verdict, Verdict::limit) << summary(result);
  EXPECT_NE(result.message.find("was ended by signal 9"), std::string::npos) << result.message;
  EXPECT_FALSE(result.proved());
}

// Nobody but the first process and its workers has the pipe's other end: it is closed when all are gone.
TEST(Check, WorkersEndWithTheFirstProcess) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t checking = ::fork();
  if (checking == 0) {
    close(ends[0]);
    Options options;
    options.workers = 3;
    check(options, [&] {
      static const bool said = write(ends[1], "r", 1) == 1;
      (void)said;
      endless();
    });
    _exit(0);
  }
  close(ends[1]);
  char said[8];
  for (int workers = 0; workers < 3; ++workers) ASSERT_EQ(read(ends[0], said, 1), 1);
  kill(checking, SIGKILL);
  waitpid(checking, nullptr, 0);
  EXPECT_EQ(read(ends[0], said, sizeof(said)), 0);
  close(ends[0]);
}

// GoogleTest keeps what failed; later runs and checks are not to see it.
TEST(Check, AssertionsOfGoogleTestFailTheRun) {
  const auto racy = [](auto&& look) {
    return [look] {
      atomic<int> x{0};
      thread other([&] { x.store(1, memory_order_relaxed); });
      look(x.load(memory_order_relaxed));
      other.join();
    };
  };
  const auto expects = racy([](int seen) {
    SCOPED_TRACE("in the body");
    EXPECT_GE(seen, 0);
    EXPECT_EQ(seen, 0) << "seen by the body";
  });
  const auto asserts = racy([](int seen) { ASSERT_TRUE(seen == 0); });
  for (const std::function<void()>& body : {std::function<void()>(expects), std::function<void()>(asserts)}) {
    for (const unsigned workers : {1U, 2U}) {
      Options options;
      options.workers = workers;
      Result result;
      testing::TestPartResultArray told;
      {
        const testing::ScopedFakeTestPartResultReporter reporter(
            testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &told);
        result = check(options, body);
      }
      EXPECT_EQ(told.size(), 1) << "GoogleTest is told once";
      EXPECT_EQ(result.verdict, Verdict::assertion) << summary(result);
      EXPECT_NE(std::string(result.where.file).find("check_test.cc"), std::string::npos) << result.report;
      EXPECT_FALSE(result.replay.empty());
    }
  }
  const Result result = [&] {
    testing::TestPartResultArray told;
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &told);
    return check(expects);
  }();
  EXPECT_EQ(
      result.message.rfind("assertion failed: Expected equality of these values: seen Which is: 1 0", 0), 0U)
      << result.message;
  EXPECT_NE(result.message.find("seen by the body"), std::string::npos) << result.message;
}

TEST(Check, AssertionsOfGoogleTestThatHoldChangeNothing) {
  const Result result = check([] {
    SCOPED_TRACE("in the body");
    SCOPED_TRACE("twice");
    SUCCEED();
    atomic<int> x{0};
    const auto add = [&] { EXPECT_LT(x.fetch_add(1, memory_order_relaxed), 3); };
    parallel(add, add, add);
    EXPECT_EQ(x.load(), 3);
  });
  EXPECT_TRUE(result.proved()) << result.report;
  EXPECT_EQ(result.executions, 6U);
}

// A buffer of the first run's, freed in the second, where nothing is.
TEST(Check, AGlobalThatKeepsMemoryOfARunIsFound) {
  static char* kept = nullptr;
  Options options;
  options.leaks = false;
  const Result result = check(options, [] {
    (void)choose(3);
    if (kept == nullptr) {
      char* volatile before = new char[4096];
      delete[] before;
      kept = new char[64];
    } else {
      delete[] std::exchange(kept, nullptr);
    }
  });
  EXPECT_EQ(result.verdict, Verdict::nondeterministic) << summary(result);
  EXPECT_NE(result.message.find("memory that an earlier run allocated"), std::string::npos) << result.message;
}

// Store buffering has 3 executions under sequential consistency, whatever the body does before and after, and
// 4 where one side is weaker.
TEST(Check, SequentialConsistencyWithABeforeAndAnAfter) {
  for (const memory_order order : {memory_order_seq_cst, memory_order_acq_rel}) {
    const Result result = check([order] {
      atomic<int> x{7}, y{7};
      int read[2] = {};
      x.store(0);
      y.store(0);
      INTERLEAVE_EXPECT(x.load() == 0);
      interleave::atomic_thread_fence(memory_order_seq_cst);
      parallel(
          [&] {
            x.store(1, memory_order_relaxed);
            interleave::atomic_thread_fence(memory_order_seq_cst);
            read[0] = y.load(memory_order_relaxed);
          },
          [&] {
            y.store(1, memory_order_relaxed);
            interleave::atomic_thread_fence(order);
            read[1] = x.load(memory_order_relaxed);
          });
      interleave::atomic_thread_fence(memory_order_seq_cst);
      INTERLEAVE_EXPECT(x.load() == 1 && y.load() == 1);
      x.store(2);
      if (order == memory_order_seq_cst) INTERLEAVE_EXPECT(read[0] + read[1] > 0);
    });
    EXPECT_TRUE(result.proved()) << result.report;
    EXPECT_EQ(result.executions, order == memory_order_seq_cst ? 3U : 4U);
  }
}

TEST(Check, SixteenThreads) {
  const Result result = check([] {
    atomic<int> x{0};
    std::vector<thread> threads;
    for (int t = 0; t < 16; ++t) {
      threads.emplace_back([&x, t] {
        if (t < 5) x.fetch_add(1, memory_order_relaxed);
      });
    }
    for (thread& each : threads) each.join();
  });
  EXPECT_TRUE(result.proved()) << summary(result) << result.report;
  EXPECT_EQ(result.executions, 120U);
}

TEST(Check, SamplesAreSaidAndRepeatable) {
  for (const Sampling sampling : {Sampling::random, Sampling::pct}) {
    Options options;
    options.samples = 200;
    options.sampling = sampling;
    options.seed = 7;
    const Result passes = check(options, six_increments);
    EXPECT_TRUE(passes.passed());
    EXPECT_EQ(passes.coverage, Coverage::sampled);
    EXPECT_FALSE(passes.proved());
    EXPECT_EQ(passes.executions, 200U);

    options.samples = 5000;
    const Result first = check(options, rare_failure);
    const Result second = check(options, rare_failure);
    EXPECT_EQ(first.verdict, Verdict::assertion) << summary(first);
    EXPECT_EQ(first.replay, second.replay);
  }
}

TEST(Check, PreemptionBoundIsSaid) {
  Options options;
  options.max_preemptions = 1;
  const Result result = check(options, six_increments);
  EXPECT_TRUE(result.passed());
  EXPECT_EQ(result.coverage, Coverage::bounded);
  EXPECT_GT(result.executions, 0U);
}

TEST(Check, ReplayRunsOneExecution) {
  const Result failure = check(rare_failure);
  ASSERT_EQ(failure.verdict, Verdict::assertion);
  Options options;
  options.replay = failure.replay;
  const Result again = check(options, rare_failure);
  EXPECT_EQ(again.verdict, Verdict::assertion);
  EXPECT_EQ(again.report, failure.report);
  EXPECT_LE(again.executions, 1U);
}

TEST(Check, WrongReplayStringsAreRefused) {
  Options options;
  for (const char* text : {"nonsense", "0*", "99999999999999999999*1", "0:x.1"}) {
    options.replay = text;
    EXPECT_THROW(check(options, store_buffering), std::invalid_argument) << text;
  }
}

TEST(Check, ReplayStringsOfOtherTestsAreSaidToBeSo) {
  const std::string own = check(rare_failure).replay;
  Options options;
  // What the test does not do: threads, events, sources that are none, choices.
  for (const std::string& text :
       {std::string("0*9.") + own, std::string("0*40"), std::string("7:i.3:250"), std::string("0:9"),
        std::string("0*2.1:1/60.2:0s"), std::string("31*256!31"), std::string("0:255*256")}) {
    options.replay = text;
    for (void (*const body)() : {&store_buffering, &rare_failure, &six_increments}) {
      const Result result = check(options, body);
      EXPECT_EQ(result.verdict, Verdict::nondeterministic) << text << '\n' << summary(result);
      EXPECT_NE(result.message.find("replay string"), std::string::npos) << result.message;
    }
  }
  options.replay = own;
  EXPECT_EQ(check(options, rare_failure).verdict, Verdict::assertion);
  EXPECT_EQ(check(options, six_increments).verdict, Verdict::nondeterministic);
}

TEST(Check, ContradictoryOptionsAreRefused) {
  Options options;
  options.samples = 10;
  options.max_preemptions = 1;
  EXPECT_THROW(check(options, store_buffering), std::invalid_argument);
  options = Options();
  options.workers = 0;
  EXPECT_THROW(check(options, store_buffering), std::invalid_argument);
  options = Options();
  options.max_seconds = -1;
  EXPECT_THROW(check(options, store_buffering), std::invalid_argument);
  options = Options();
  options.max_threads = 100;
  EXPECT_THROW(check(options, store_buffering), std::invalid_argument);
}

TEST(Check, PermutingTheThreadsChangesNothing) {
  std::vector<int> order{0, 1, 2};
  std::vector<std::uint64_t> counts;
  do {
    const Result result = check([&] {
      atomic<int> x{0}, y{0};
      const std::function<void()> functions[] = {
          [&] {
            x.store(1, memory_order_release);
            (void)y.load(memory_order_acquire);
          },
          [&] {
            int expected = 0;
            y.compare_exchange_strong(expected, 2, memory_order_acq_rel, memory_order_acquire);
            x.fetch_add(3, memory_order_relaxed);
          },
          [&] {
            (void)x.load(memory_order_acquire);
            y.store(1, memory_order_relaxed);
          }};
      parallel(functions[order[0]], functions[order[1]], functions[order[2]]);
    });
    EXPECT_TRUE(result.proved());
    counts.push_back(result.executions);
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(counts.size(), 6U);
  EXPECT_TRUE(
      std::all_of(counts.begin(), counts.end(), [&](std::uint64_t count) { return count == counts[0]; }));
  EXPECT_GT(counts[0], 10U);
}

// Each line once, whoever came by first and whichever process ran it; loops, locks and waits are lines like
// others.
TEST(Check, SitesTellWhoCameBy) {
  unsigned both = 0, one = 0, condition = 0, fence = 0;
  const auto body = [&] {
    atomic<int> x{0};
    mutex lock;
    condition_variable changed;
    bool told = false;
    const auto add = [&] { x.fetch_add(1, memory_order_relaxed), both = __LINE__; };
    parallel(
        [&] {
          add();
          interleave::atomic_thread_fence(memory_order_acquire), fence = __LINE__;
          std::unique_lock<mutex> held(lock);
          while (!told) changed.wait(held, Where{"waits", 7}), condition = 7;
        },
        [&] {
          add();
          x.store(9, memory_order_relaxed), one = __LINE__;
          const std::lock_guard<mutex> held(lock);
          told = true;
          changed.notify_all();
        });
  };
  const auto threads_at = [](const Result& result, const std::string& file, unsigned line) {
    std::uint32_t threads = 0;
    int found = 0;
    for (const Site& site : result.sites) {
      if (site.where.line != line || !std::string(site.where.file).ends_with(file)) continue;
      threads = site.threads;
      ++found;
    }
    EXPECT_LE(found, 1) << file << ':' << line;
    return threads;
  };
  Options options;
  EXPECT_TRUE(check(options, body).sites.empty());
  options.sites = true;
  for (const unsigned workers : {1, 2}) {
    options.workers = workers;
    const Result result = check(options, body);
    EXPECT_TRUE(result.proved()) << result.report;
    EXPECT_EQ(threads_at(result, "check_test.cc", both), 0b110U);
    EXPECT_EQ(threads_at(result, "check_test.cc", one), 0b100U);
    EXPECT_EQ(threads_at(result, "check_test.cc", fence), 0b010U);
    EXPECT_EQ(threads_at(result, "waits", condition), 0b010U);
    EXPECT_TRUE(result.notes.empty());
  }
}

// Also of a thread that comes by in some executions only, and of a check that failed.
TEST(Check, SitesAreOfAllExecutions) {
  unsigned rare = 0;
  const auto body = [&](bool fails) {
    return [&, fails] {
      atomic<int> x{0};
      const auto look = [&] {
        if (x.exchange(1, memory_order_relaxed) == 0) (void)x.load(memory_order_relaxed), rare = __LINE__;
      };
      parallel(look, look);
      INTERLEAVE_EXPECT(!fails);
    };
  };
  Options options;
  options.sites = true;
  const auto line = [&](const Site& site) { return site.where.line == rare; };
  const Result passes = check(options, body(false));
  ASSERT_EQ(std::count_if(passes.sites.begin(), passes.sites.end(), line), 1);
  EXPECT_EQ(std::find_if(passes.sites.begin(), passes.sites.end(), line)->threads, 0b110U);
  const Result failed = check(options, body(true));
  EXPECT_EQ(failed.verdict, Verdict::assertion);
  EXPECT_NE(std::find_if(failed.sites.begin(), failed.sites.end(), line)->threads, 0U);
  options.samples = 50;
  EXPECT_FALSE(check(options, body(false)).sites.empty());
}

TEST(Check, LintNamesLoadBuffering) {
  Options options;
  options.load_buffering_lint = true;
  const Result warned = check(options, [] {
    atomic<int> x{0}, y{0};
    parallel(
        [&] {
          const int seen = x.load(memory_order_relaxed);
          y.store(seen + 1, memory_order_relaxed);
        },
        [&] {
          (void)y.load(memory_order_relaxed);
          x.store(1, memory_order_relaxed);
        });
  });
  EXPECT_TRUE(warned.passed());
  EXPECT_FALSE(warned.notes.empty());
  EXPECT_TRUE(check(options, store_buffering).notes.empty());
}

TEST(Check, StaticObjectsStartAnewInEachRun) {
  static atomic<int> counter{5};
  const Result result = check([] {
    INTERLEAVE_EXPECT(counter.load() == 5);
    const auto add = [] { counter.fetch_add(1); };
    parallel(add, add);
    INTERLEAVE_EXPECT(counter.load() == 7);
  });
  EXPECT_TRUE(result.proved()) << result.report;
  EXPECT_EQ(result.executions, 2U);
  EXPECT_EQ(counter.load(), 5);
}

// A longer run begins again in a larger engine, which knows nothing of the first one's objects.
TEST(Check, StaticObjectsAreFineInLongRuns) {
  static atomic<int> second{0};
  static mutex lock;
  const Result result = check([] {
    atomic<int> first{0};
    for (int i = 0; i < 20; ++i) {
      const std::lock_guard<mutex> guard(lock);
      first.store(i);
      second.store(-i);
    }
    INTERLEAVE_EXPECT(first.load() == 19 && second.load() == -19);
  });
  EXPECT_TRUE(result.proved()) << result.report;
  EXPECT_EQ(result.executions, 1U);
}

template <typename Duration>
bool ends_the_clock(Duration time) {
  return clock::after(time) == clock::time_point::max();
}

TEST(Check, TimesBeyondTheClockAreItsEnd) {
  using namespace std::chrono;
  EXPECT_TRUE(ends_the_clock(hours::max()));
  EXPECT_TRUE(ends_the_clock(seconds::max()));
  EXPECT_TRUE(ends_the_clock(nanoseconds::max()));
  EXPECT_TRUE(ends_the_clock(duration<double>(1e300)));
  EXPECT_FALSE(ends_the_clock(hours(24 * 365 * 200)));
  EXPECT_EQ(clock::after(hours::min()), clock::time_point());
  EXPECT_EQ(clock::after(milliseconds(5)).time_since_epoch(), nanoseconds(5'000'000));
  const Result result = check([] {
    this_thread::sleep_for(hours::max());
    INTERLEAVE_EXPECT(clock::now() == clock::time_point::max());
    INTERLEAVE_EXPECT(ends_the_clock(nanoseconds(1)));
  });
  EXPECT_TRUE(result.proved()) << result.report;
}

TEST(Check, LooksAtTheClockTakeTime) {
  using namespace std::chrono;
  Options options;
  options.tick = 1000;
  const Result spun = check(options, [] {
    thread spinner([] {
      const auto end = clock::now() + microseconds(3);
      while (clock::now() < end) yield();
      INTERLEAVE_EXPECT(clock::now() == end + microseconds(1));
    });
    spinner.join();
  });
  EXPECT_TRUE(spun.proved()) << spun.report;

  options.max_time = 5'500;
  for (const int looks : {5, 6}) {
    const Result looked = check(options, [looks] {
      for (int i = 0; i < looks; ++i) static_cast<void>(clock::now());
    });
    EXPECT_TRUE(looked.passed()) << looked.report;
    EXPECT_EQ(looked.bounded, looks == 5 ? 0U : 1U);
  }
}

TEST(Check, NothingIsProvedByNoExecution) {
  const Result result = check([] {
    assume(false);
    expect(false);
  });
  EXPECT_TRUE(result.passed());
  EXPECT_FALSE(result.proved());
  EXPECT_NE(summary(result).find("nothing was checked"), std::string::npos) << summary(result);
}

// The other thread's memory is none of the run's.
TEST(Check, ASecondCheckAtATimeIsRefused) {
  std::atomic<int> step{0};
  std::string refusal;
  std::thread second([&] {
    while (step.load() != 1) std::this_thread::yield();
    try {
      check(store_buffering);
    } catch (const std::logic_error& error) {
      refusal = error.what();
    }
    step.store(2);
  });
  const Result result = check([&] {
    if (step.load() == 0) step.store(1);
    while (step.load() != 2) {
    }
  });
  second.join();
  EXPECT_TRUE(result.proved()) << result.report;
  EXPECT_NE(refusal.find("another thread of this process is in a check"), std::string::npos) << refusal;
  EXPECT_TRUE(check(store_buffering).proved());
}

TEST(Check, NamesAndSummary) {
  EXPECT_STREQ(name(Verdict::lost_wakeup), "lost wake-up");
  EXPECT_STREQ(name(Coverage::sampled), "sampled");
  const std::string passed = summary(check(store_buffering));
  EXPECT_EQ(passed.rfind("PASS complete executions=4 blocked=0 bounded=0 seconds=", 0), 0U) << passed;
  EXPECT_NE(summary(check(rare_failure)).find("assertion"), std::string::npos);
}

}  // namespace
}  // namespace interleave::test
