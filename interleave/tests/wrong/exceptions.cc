// Exceptions that leave a thread, and tests that are none.
#include <stdexcept>
#include <system_error>

#include "support/wrong.h"

namespace interleave::test {
namespace {

int runs = 0;  // outside of what a run may depend on

/// Kind only: an exception carries no line.
Result run(const std::function<void()>& body, const Options& options = {}) {
  const Result result = check(options, body);
  EXPECT_FALSE(result.message.empty());
  return result;
}

TEST(Wrong, ExceptionLeavesAThread) {
  const Result result = run([] {
    atomic<int> order{0};
    const auto work = [&] {
      if (order.fetch_add(1, memory_order_relaxed) == 1) throw std::runtime_error("came second");
    };
    parallel(work, work);
  });
  EXPECT_EQ(result.verdict, Verdict::exception) << result.report;
  EXPECT_NE(result.message.find("came second"), std::string::npos) << result.message;
}

TEST(Wrong, AllocationFailureUncaught) {
  Options options;
  options.allocation_failures = true;
  const Result result = run([] { delete new atomic<int>(1); }, options);
  EXPECT_EQ(result.verdict, Verdict::exception) << result.report;
}

TEST(Wrong, ThreadFailureUncaught) {
  const auto body = [] {
    fail_threads(1);
    thread([] {}).join();
  };
  Options options;
  const Result result = run(body);
  EXPECT_EQ(result.verdict, Verdict::exception) << result.report;
  EXPECT_NE(result.message.find("Resource temporarily unavailable"), std::string::npos) << result.message;
  options.replay = result.replay;
  EXPECT_EQ(run(body, options).verdict, Verdict::exception) << result.replay;
}

// Whoever comes later relies on a thread that is not there.
TEST(Wrong, StartedBeforeTheThreadIs) {
  expect_wrong(Verdict::livelock, [] {
    atomic<int> jobs{0};
    bool started = false;
    thread worker;
    const auto is_none = [](int left) { return left == 0; };
    const auto start = [&] {
      if (started) return;
      started = true;
      worker = thread([&] {
        await(
            jobs, [](int wanted) { return wanted == 1; }, memory_order_relaxed);
        jobs.store(0, memory_order_relaxed);
      });
    };
    fail_threads(1);
    try {
      start();
    } catch (const std::system_error&) {
      start();
    }
    jobs.store(1, memory_order_relaxed);
    await(jobs, is_none, memory_order_relaxed);  // <-- StartedBeforeTheThreadIs
    worker.join();
  });
}

TEST(Wrong, LeakWhereAThreadFails) {
  expect_wrong(Verdict::leak, [] {
    fail_threads(1);
    auto* const job = new atomic<int>(1);  // <-- LeakWhereAThreadFails
    try {
      thread([job] { delete job; }).join();
    } catch (const std::system_error&) {
    }
  });
}

TEST(Wrong, TestThatCountsItsRuns) {
  runs = 0;
  const Result result = run([] {
    atomic<int> x{0};
    parallel([&] { x.store(++runs, memory_order_relaxed); }, [&] { (void)x.load(memory_order_relaxed); });
    if (runs % 3 == 0) x.store(0, memory_order_relaxed);
  });
  EXPECT_EQ(result.verdict, Verdict::nondeterministic) << result.report;
}

TEST(Wrong, TooManyThreads) {
  Options options;
  options.max_threads = 3;
  const Result result = run([] { parallel([] {}, [] {}, [] {}); }, options);
  EXPECT_EQ(result.verdict, Verdict::limit) << result.report;
  EXPECT_NE(result.message.find('3'), std::string::npos) << result.message;
}

}  // namespace
}  // namespace interleave::test
