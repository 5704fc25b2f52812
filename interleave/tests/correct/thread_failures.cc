// Starts of threads that fail, as where the system has none left.
#include <memory>
#include <string>
#include <system_error>

#include "support/scenario.h"

namespace interleave::test {
namespace {

/// False if there was no thread for it.
template <typename F>
bool try_to_run(F&& function) {
  try {
    thread(std::forward<F>(function)).join();
    return true;
  } catch (const std::system_error& error) {
    INTERLEAVE_EXPECT(error.code() == std::errc::resource_unavailable_try_again);
    return false;
  }
}

// One of three fails, or none, and another thread's do not.
TEST(Correct, FailThreads) {
  expect_executions(4, [] {
    fail_threads(1);
    unsigned failed = 0, ran = 0;
    for (int i = 0; i < 3; ++i) {
      if (!try_to_run([&] { ++ran; })) ++failed;
    }
    INTERLEAVE_EXPECT(failed + ran == 3 && failed <= 1);
    INTERLEAVE_EXPECT(fail_threads(0) == 1 - failed);
    bool inner = false;
    INTERLEAVE_EXPECT(try_to_run([&] { inner = try_to_run([] {}); }) && inner);
  });
}

// Of three any two at most: 1 + 3 + 3.
TEST(Correct, FailTwoThreads) {
  expect_executions(7, [] {
    fail_threads(2);
    for (int i = 0; i < 3; ++i) try_to_run([] {});
  });
}

TEST(Correct, FailThreadsOfTwo) {
  expect_executions(4, [] {
    const auto start = [] {
      fail_threads(1);
      try_to_run([] {});
    };
    parallel(start, start);
  });
}

TEST(Correct, FailThreadsBehindALoadThatIsRevisited) {
  expect_executions(4, [] {  // two outcomes, two values
    atomic<int> x{0};
    parallel(
        [&] {
          (void)x.load(memory_order_relaxed);
          fail_threads(1);
          try_to_run([] {});
        },
        [&] { x.store(1, memory_order_relaxed); });
  });
}

// What it was to run is destroyed by who wanted it started, once, and the object has no thread.
TEST(Correct, AThreadThatFailsKeepsNothing) {
  expect_executions(2, [] {
    const auto kept = std::make_shared<var<int>>(0);
    fail_threads(1);
    thread worker;
    bool failed = false;
    try {
      worker = thread([kept](const std::string& text) { kept->set(static_cast<int>(text.size())); },
                      std::string(100, 'x'));
    } catch (const std::system_error&) {
      failed = true;
    }
    INTERLEAVE_EXPECT(worker.joinable() != failed);
    if (!failed) worker.join();
    INTERLEAVE_EXPECT(kept.use_count() == 1);
    INTERLEAVE_EXPECT(kept->get() == (failed ? 0 : 100));
  });
}

TEST(Correct, FailJthreads) {
  expect_executions(4, [] {
    const auto kept = std::make_shared<int>(0);
    fail_threads(2);
    try {
      const jthread plain([kept] {});
    } catch (const std::system_error&) {
    }
    try {
      const jthread listens([kept](const stop_token&) {});
    } catch (const std::system_error&) {
    }
    INTERLEAVE_EXPECT(kept.use_count() == 1);
  });
}

TEST(Correct, FailThreadsWhereRunsAreSampled) {
  for (const Sampling sampling : {Sampling::random, Sampling::pct}) {
    Options options;
    options.samples = 64;
    options.sampling = sampling;
    bool failed = false, ran = false;
    const Result result = check(options, [&] {
      fail_threads(1);
      (try_to_run([] {}) ? ran : failed) = true;
    });
    EXPECT_TRUE(result.passed()) << result.report;
    EXPECT_TRUE(failed && ran);
  }
}

}  // namespace
}  // namespace interleave::test
