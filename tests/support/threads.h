// Running a test's body on many threads at once.
#pragma once

#include <gtest/gtest.h>

#include <barrier>
#include <exception>
#include <thread>
#include <vector>

#include "support/watchdog.h"

namespace millrace::test {

/// Runs body(number) on count threads that start together, and joins them. An exception that leaves a
/// body is a failure of the test; more than the limit is a hang.
template <typename Body>
void on_threads(int count, Body&& body, std::chrono::seconds limit = std::chrono::seconds(120)) {
  const Watchdog watchdog("a test's threads", limit);
  std::barrier start(count);
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(count));
  for (int number = 0; number < count; ++number) {
    threads.emplace_back([&, number] {
      start.arrive_and_wait();
      try {
        body(number);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "thread " << number << " ended with: " << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace millrace::test
