#include "bench/timed_threads.h"

#include <atomic>
#include <barrier>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace millrace::tool {
namespace {

constexpr int kTries = 100;

TimedRun run_once(int threads, std::chrono::milliseconds duration,
                  const std::function<std::unique_ptr<TimedWork>(int thread)>& make) {
  using Clock = std::chrono::steady_clock;
  std::atomic<std::uint64_t> operations{0};
  Clock::time_point start;
  Clock::time_point stop;
  std::barrier begin(threads, [&start]() noexcept { start = Clock::now(); });
  std::barrier end(threads, [&stop]() noexcept { stop = Clock::now(); });
  double own_seconds = 0;
  std::mutex ending;           // own_seconds and failure
  std::exception_ptr failure;  // the first of any thread; out of memory, say
  const auto attempt = [&](auto&& work) {
    try {
      work();
    } catch (...) {
      const std::lock_guard lock(ending);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> workers;
  workers.reserve(static_cast<std::size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&, i] {
      std::unique_ptr<TimedWork> work;
      bool ready = false;
      attempt([&] {
        work = make(i);
        work->warm_up();
        ready = true;
      });
      begin.arrive_and_wait();
      std::uint64_t done = 0;
      attempt([&] {
        while (ready && Clock::now() - start < duration) done += work->run();
      });
      operations.fetch_add(done, std::memory_order_relaxed);
      end.arrive_and_wait();
      const std::lock_guard lock(ending);
      if (work) own_seconds += work->own_seconds();
    });
  }
  for (std::thread& worker : workers) worker.join();
  if (failure) std::rethrow_exception(failure);
  return {operations.load(std::memory_order_relaxed), std::chrono::duration<double>(stop - start).count(),
          own_seconds};
}

}  // namespace

TimedRun run_timed(int threads, std::chrono::milliseconds duration,
                   const std::function<std::unique_ptr<TimedWork>(int thread)>& make) {
  for (int tries = 0; tries < kTries; ++tries) {
    const TimedRun run = run_once(threads, duration, make);
    if (run.operations != 0) return run;
  }
  throw std::runtime_error("the threads got to do nothing within " + std::to_string(duration.count()) +
                           " ms, " + std::to_string(kTries) +
                           " times over; measure for longer, or on a machine that does less");
}

}  // namespace millrace::tool
