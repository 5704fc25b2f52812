// Workers that finish in any order, results that are used in one.
#include "in_order.h"

#include <atomic>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "crew.h"

namespace millrace::tool {
namespace {

TEST(InOrder, UsesResultsInOrderWhateverOrderTheyCome) {
  std::vector<int> used;
  InOrder<int> results(4, [&](std::size_t job, int& value) {
    EXPECT_EQ(job, used.size());
    used.push_back(value);
  });
  for (const int job : {2, 1, 3, 0, 4}) results.put(static_cast<std::size_t>(job), 10 * job);
  EXPECT_EQ(used, (std::vector<int>{0, 10, 20, 30, 40}));
}

TEST(InOrder, WaitsForWhoIsBehind) {
  std::atomic<int> put{0};
  std::size_t used = 0;
  InOrder<int> results(2, [&](std::size_t, int&) { ++used; });
  std::thread ahead([&] {
    for (std::size_t job = 1; job < 5; ++job) {
      results.put(job, 0);
      put.fetch_add(1, std::memory_order_relaxed);
    }
  });
  while (put.load(std::memory_order_relaxed) < 1) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(put.load(std::memory_order_relaxed), 1) << "two results may wait at most, one of them for job 0";
  results.put(0, 0);
  ahead.join();
  EXPECT_EQ(used, 5U);
}

TEST(InOrder, StopEndsAllWaiting) {
  InOrder<int> results(1, [](std::size_t, int&) { ADD_FAILURE() << "job 0 never came"; });
  std::thread ahead([&] { results.put(3, 0); });
  results.stop();
  ahead.join();
}

TEST(Crew, DoesEveryJobOnceWithAnyNumberOfThreads) {
  for (const int threads : {1, 2, 8}) {
    Crew crew(1000);
    std::vector<int> used;
    InOrder<int> results(3, [&](std::size_t, int& value) { used.push_back(value); });
    const auto work = [&] {
      for (std::size_t job = crew.take(); job < crew.jobs(); job = crew.take()) {
        results.put(job, static_cast<int>(job));
        crew.done(2);
      }
    };
    crew.run(threads, 2000, false, {work, [&] { results.stop(); }});
    ASSERT_EQ(used.size(), 1000U);
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(used[static_cast<std::size_t>(i)], i);
    EXPECT_EQ(crew.done_bytes(), 2000U);
  }
}

TEST(Crew, ThrowsTheFirstFailureAndLeavesNobodyWaiting) {
  Crew crew(1000);
  InOrder<int> results(1, [](std::size_t, int&) {});
  const auto work = [&] {
    for (std::size_t job = crew.take(); job < crew.jobs(); job = crew.take()) {
      if (job == 7) throw std::runtime_error("job 7");
      results.put(job, 0);
    }
  };
  try {
    crew.run(4, 0, false, {work, [&] { results.stop(); }});
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "job 7");
  }
}

}  // namespace
}  // namespace millrace::tool
