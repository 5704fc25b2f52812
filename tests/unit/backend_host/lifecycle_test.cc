// Starting, stopping, cancelling and forking the host backend.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "backends/host/backend.h"
#include "device/fork.h"
#include "unit/backend_host/fake_sink.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MILLRACE_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define MILLRACE_TEST_SANITIZED 1
#endif
#endif

namespace millrace::host {
namespace {

DeviceOptions with(int workers) {
  DeviceOptions options;
  options.workers = workers;
  return options;
}

int count_threads() {
  // ThreadSanitizer starts a thread of its own beside the first one: before anything is counted.
  static const bool first = (std::thread([] {}).join(), true);
  static_cast<void>(first);
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("Threads:", 0) == 0) return std::atoi(line.c_str() + 8);
  }
  return -1;
}

/// A thread that ended can be listed for a moment longer.
bool thread_count_becomes(int count) {
  for (int i = 0; i < 10000 && count_threads() != count; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return count_threads() == count;
}

TEST(Lifecycle, Info) {
  const auto backend = make_host_backend(2, with(3));
  EXPECT_EQ(backend->info().name, "host:2");
  EXPECT_EQ(backend->info().workers, 3);
  EXPECT_TRUE(backend->info().host_tasks);
  EXPECT_GT(backend->info().memory_bytes, std::size_t{64} << 20);
  EXPECT_LE(backend->default_memory_limit(), backend->info().memory_bytes / 4 * 3);
  EXPECT_THROW(make_host_backend(0, with(-1)), Error);
  EXPECT_THROW(make_host_backend(0, with(1025)), Error);
}

TEST(Lifecycle, ABackendNeverStartedOrNeverStopped) {
  { HostBackend backend(0, with(2)); }
  FakeSink sink;
  {
    HostBackend backend(0, with(2));
    ASSERT_TRUE(backend.start(2, sink).ok());
    ASSERT_TRUE(backend.submit(submission(0, 1, {})).ok());
  }
  EXPECT_EQ(sink.count(), 1u);
}

TEST(Lifecycle, CancelClosesAllThatIsQueued) {
  constexpr int kQueues = 8;
  constexpr std::uint64_t kEach = 500;
  FakeSink sink;
  HostBackend backend(0, with(2));
  ASSERT_TRUE(backend.start(kQueues, sink).ok());
  Door started, door;
  std::atomic<int> ran{0};
  ASSERT_TRUE(backend
                  .submit(submission(0, 1,
                                     {task("running",
                                           [&] {
                                             started.open();
                                             EXPECT_TRUE(door.pass());
                                           }),
                                      task("rest", [&] { ++ran; })}))
                  .ok());
  ASSERT_TRUE(started.pass());
  for (std::uint64_t v = 2; v <= kEach; ++v) {
    ASSERT_TRUE(backend.submit(submission(0, v, {task("never", [&] { ++ran; })})).ok());
  }
  for (int q = 1; q < kQueues; ++q) {  // parked on the running one, each behind the other
    for (std::uint64_t v = 1; v <= kEach; ++v) {
      ASSERT_TRUE(backend.submit(submission(q, v, {task("never", [&] { ++ran; })}, {{q - 1, v}})).ok());
    }
  }
  backend.cancel();
  door.open();
  backend.stop();
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(sink.count(), kQueues * kEach);
  EXPECT_EQ(sink.count(ErrorCode::Closed), kQueues * kEach);
  EXPECT_TRUE(sink.in_order());
}

TEST(Lifecycle, WhatRanToItsEndBeforeCancelIsNotClosed) {
  FakeSink sink;
  HostBackend backend(0, with(1));
  ASSERT_TRUE(backend.start(1, sink).ok());
  ASSERT_TRUE(backend.submit(submission(0, 1, {task("cancels", [&] { backend.cancel(); })})).ok());
  ASSERT_TRUE(backend.submit(submission(0, 2, {task("never", [] { ADD_FAILURE(); })})).ok());
  ASSERT_TRUE(sink.wait_count(2));
  backend.stop();
  EXPECT_TRUE(sink.of(0)[0].status.ok());
  EXPECT_FALSE(sink.of(0)[1].status.ok());
}

TEST(Lifecycle, CancelAgainstSubmitters) {
  for (int round = 0; round < 20; ++round) {
    FakeSink sink;
    HostBackend backend(0, with(2));
    ASSERT_TRUE(backend.start(4, sink).ok());
    std::atomic<std::size_t> accepted{0};
    std::vector<std::thread> threads;
    for (int q = 0; q < 4; ++q) {
      threads.emplace_back([&, q] {
        for (std::uint64_t v = 1; v <= 300; ++v) {
          if (!backend.submit(submission(q, v, {task("nothing", [] {})})).ok()) return;
          ++accepted;
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
    backend.cancel();
    for (std::thread& thread : threads) thread.join();
    backend.stop();
    EXPECT_EQ(sink.count(), accepted);
    EXPECT_TRUE(sink.in_order());
  }
}

TEST(Lifecycle, StopFromAnOwnThreadDoesNotJoinItself) {
  const int threads = count_threads();
  FakeSink sink;
  Door stopped;
  auto backend = std::make_unique<HostBackend>(0, with(3));
  sink.then = [&](TimelinePoint, const Status&) {
    backend->stop();
    backend.reset();
    stopped.open();
  };
  ASSERT_TRUE(backend->start(1, sink).ok());
  ASSERT_TRUE(backend->submit(submission(0, 1, {})).ok());
  EXPECT_TRUE(stopped.pass());
  EXPECT_TRUE(thread_count_becomes(threads));
}

// What exit() called by a task does: cancel and stop on the worker itself, which never returns.
TEST(Lifecycle, CancelAndStopInsideATask) {
  const int threads = count_threads();
  FakeSink sink;
  Door done;
  auto backend = std::make_unique<HostBackend>(0, with(2));
  ASSERT_TRUE(backend->start(2, sink).ok());
  void* base = nullptr;
  ASSERT_TRUE(backend->reserve(backend->granule(), &base).ok());
  ASSERT_TRUE(backend->commit(base, backend->granule()).ok());
  ASSERT_TRUE(backend
                  ->submit(submission(0, 1,
                                      {task("exits",
                                            [&] {
                                              backend->cancel();
                                              backend->stop();
                                              backend->release(base, backend->granule());
                                              backend.reset();
                                              *static_cast<volatile char*>(base) =
                                                  1;  // still there: the operation may go on using it
                                              done.open();
                                            })}))
                  .ok());
  ASSERT_TRUE(done.pass());
  EXPECT_EQ(sink.count(ErrorCode::Closed), 1u);
  EXPECT_TRUE(thread_count_becomes(threads));
}

TEST(Lifecycle, StopGivesUpOnAnOperationThatNeverEnds) {
  FakeSink sink;
  const int threads = count_threads();
  const auto door = std::make_shared<Door>();  // the thread comes back to it after the backend is gone
  {
    HostBackend backend(0, with(2));
    ASSERT_TRUE(backend.start(3, sink).ok());
    Door started;
    ASSERT_TRUE(backend
                    .submit(submission(0, 1,
                                       {task("hangs",
                                             [&started, door] {
                                               started.open();
                                               EXPECT_TRUE(door->pass());
                                             })}))
                    .ok());
    ASSERT_TRUE(started.pass());
    ASSERT_TRUE(backend.submit(submission(0, 2, {})).ok());
    ASSERT_TRUE(backend.submit(submission(1, 1, {}, {{0, 2}})).ok());
    const auto before = sync::now();
    backend.cancel();
    backend.stop();
    const auto took = sync::now() - before;
    EXPECT_GE(took, std::chrono::seconds(1));
    EXPECT_LT(took, std::chrono::seconds(30));
  }
  EXPECT_EQ(sink.count(), 3u);
  EXPECT_EQ(sink.count(ErrorCode::Closed), 3u);
  EXPECT_TRUE(sink.in_order());
  door->open();
  EXPECT_TRUE(thread_count_becomes(threads)) << "the thread that was given up on must end like any other";
  EXPECT_EQ(sink.count(), 3u) << "reported twice";
}

TEST(Lifecycle, ExitFromATask) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own, not a forked child
  EXPECT_EXIT(
      {
        static FakeSink sink;
        static auto* backend = new HostBackend(0, with(2));
        std::atexit([] {
          backend->cancel();
          backend->stop();
          delete backend;
          if (sink.count(ErrorCode::Closed) != 3) std::_Exit(9);
        });
        (void)backend->start(2, sink);
        (void)backend->submit(submission(0, 1, {task("exits", [] {
                                           (void)backend->submit(submission(0, 2, {}));
                                           (void)backend->submit(submission(1, 1, {}, {{0, 2}}));
                                           std::exit(7);
                                         })}));
        std::this_thread::sleep_for(std::chrono::minutes(1));
      },
      testing::ExitedWithCode(7), "");
}

TEST(Lifecycle, StopLeavesNoThread) {
  const int before = count_threads();
  FakeSink sink;
  HostBackend backend(0, with(7));
  ASSERT_TRUE(backend.start(1, sink).ok());
  EXPECT_EQ(count_threads(), before + 7);
  backend.stop();
  EXPECT_TRUE(thread_count_becomes(before));
}

TEST(Lifecycle, TooFewThreads) {
#ifdef MILLRACE_TEST_SANITIZED
  GTEST_SKIP() << "sanitizers reserve more address space than the limit that this test sets";
#else
  const auto run = [] {
    const rlimit limit{std::size_t{256} << 20, std::size_t{256} << 20};  // stacks are 8 MiB each
    if (setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(8);
    FakeSink sink;
    HostBackend backend(0, with(1000));
    const Status status = backend.start(1, sink);
    if (status.ok() || status.error().code() != ErrorCode::OutOfMemory) std::_Exit(9);
    std::fputs(status.error().what(), stderr);
    std::_Exit(thread_count_becomes(1) ? 7 : 10);
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(run(), testing::ExitedWithCode(7), "asked for 1000 worker threads");
#endif
}

TEST(Lifecycle, AForkedChildNeitherJoinsNorWaits) {
  watch_for_fork();
  FakeSink sink;
  auto backend = std::make_unique<HostBackend>(0, with(2));
  ASSERT_TRUE(backend->start(2, sink).ok());
  Door door;
  ASSERT_TRUE(backend->submit(submission(0, 1, {task("door", [&] { EXPECT_TRUE(door.pass()); })})).ok());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);
    backend->cancel();
    backend->stop();
    backend.reset();
    _exit(7);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  door.open();
  ASSERT_TRUE(sink.wait_count(1));
  backend->stop();
}

}  // namespace
}  // namespace millrace::host
