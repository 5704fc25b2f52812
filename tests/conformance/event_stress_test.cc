// Events re-recorded, destroyed, returned and reused under eight threads, each wait checked for its meaning.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "support/eventually.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr int kThreads = 8;

/// How far a stream has come: one step a task.
using Progress = std::atomic<std::uint64_t>;

/// An event and what must have happened once it is done.
struct Mark {
  Event event;
  const Progress* progress = nullptr;
  std::uint64_t steps = 0;

  bool holds() const { return progress == nullptr || progress->load() >= steps; }
};

/// Where threads leave marks for each other: put in, get out what was there before.
///
/// Thread safety: any thread.
class Exchange {
 public:
  Mark swap(std::size_t place, Mark mark) {
    const std::lock_guard lock(mutex_);
    return std::exchange(places_[place % places_.size()], std::move(mark));
  }
  void clear() {
    for (std::size_t i = 0; i < places_.size(); ++i) swap(i, Mark());
  }

 private:
  std::mutex mutex_;
  std::array<Mark, 12> places_;
};

/// One thread's part: its stream, the events it holds, and what it does with those it is handed.
class Worker {
 public:
  Worker(Device& device, Exchange& exchange, std::uint64_t seed, int number)
      : device_(device),
        stream_(device.stream()),
        exchange_(exchange),
        random_(seed, static_cast<std::size_t>(number)) {}

  void step() {
    Mark mark = own_mark();
    commit_sometimes_before_handing_over();
    mark = exchange_.swap(random_.next(), std::move(mark));
    stream_.commit();
    if (mark.event.valid()) use(mark);
    if (random_.one_in(2)) spare_.push_back(std::move(mark.event));  // re-recorded later, by this thread
    if (spare_.size() > 16) spare_.erase(spare_.begin(), spare_.begin() + 8);
  }
  void finish() {
    stream_.wait(kLimit);
    EXPECT_EQ(progress_->load(), steps_);
  }
  /// Outlives the worker: marks that others hold point to it.
  std::shared_ptr<Progress> progress() const { return progress_; }

 private:
  Mark own_mark() {
    stream_.run("step", [progress = progress_] { progress->fetch_add(1); });
    ++steps_;
    Mark mark;
    if (!spare_.empty() && random_.one_in(2)) {
      mark.event = std::move(spare_.back());
      spare_.pop_back();
    } else {
      mark.event = device_.event();
    }
    if (!mark.event.valid()) mark.event = device_.event();
    const std::uint64_t generation = mark.event.generation();
    mark.event.record(stream_);
    EXPECT_EQ(mark.event.generation(), generation + 1);
    mark.progress = progress_.get();
    mark.steps = steps_;
    return mark;
  }

  void commit_sometimes_before_handing_over() {
    if (random_.one_in(2)) stream_.commit();
  }

  void use(Mark& mark) {
    switch (random_.below(4)) {
      case 0:
        mark.event.wait(kLimit);
        EXPECT_TRUE(mark.holds());
        EXPECT_TRUE(mark.event.query());
        break;
      case 1:
        if (mark.event.query()) {
          EXPECT_TRUE(mark.holds());
        }
        break;
      case 2: {
        stream_.wait_event(mark.event);
        stream_.run("check", [progress = mark.progress, steps = mark.steps] {
          if (progress->load() < steps) throw std::logic_error("ran before what it waits for");
        });
        break;
      }
      default: mark.event.reset();
    }
  }

  Device& device_;
  Stream stream_;
  Exchange& exchange_;
  Random random_;
  std::vector<Event> spare_;
  std::shared_ptr<Progress> progress_ = std::make_shared<Progress>(0);
  std::uint64_t steps_ = 0;
};

void re_record_destroy_return_and_reuse(Device device, std::uint64_t seed, std::size_t steps) {
  Exchange exchange;
  std::mutex mutex;
  std::vector<std::shared_ptr<Progress>> kept;
  on_threads(kThreads, [&](int number) {
    Worker worker(device, exchange, seed, number);
    {
      const std::lock_guard lock(mutex);
      kept.push_back(worker.progress());
    }
    for (std::size_t i = 0; i < steps; ++i) worker.step();
    worker.finish();
  });
  exchange.clear();
  device.synchronize();
}

TEST(EventStress, ReRecordedDestroyedReturnedAndReusedByEightThreads) {
  const std::uint64_t seed = seed_of_run();
  re_record_destroy_return_and_reuse(create_test_device({.workers = 4}), seed, scaled(20000, 10));
}

TEST(EventStress, AlsoInAnOrderThatChaosChooses) {
  const std::uint64_t seed = seed_of_run();
  MILLRACE_SKIP_IF_UNSUPPORTED({.chaos = seed});
  re_record_destroy_return_and_reuse(create_test_device({.workers = 4, .chaos = seed}), seed, scaled(500, 5));
}

TEST(EventStress, EightThreadsRecordAskAndWaitForTheSameEvents) {
  const std::uint64_t seed = seed_of_run();
  const std::size_t steps = scaled(20000, 10);
  Device device = create_test_device({.workers = 4});
  std::array<Event, 4> events;
  for (Event& event : events) event = device.event();
  std::atomic<std::uint64_t> records = 0;
  on_threads(kThreads, [&](int number) {
    Random random(seed, static_cast<std::size_t>(number));
    Stream stream = device.stream();
    for (std::size_t i = 0; i < steps; ++i) {
      Event& event = events[random.below(events.size())];
      switch (random.below(6)) {
        case 0:
        case 1:
          event.record(stream);
          ++records;
          stream.commit();  // at once: other threads may wait for it before they commit anything
          break;
        case 2: static_cast<void>(event.query()); break;
        case 3: event.wait(kLimit); break;
        case 4: stream.wait_event(event); break;
        default: stream.run("work", [] {});
      }
    }
    stream.wait(kLimit);
  });
  std::uint64_t generations = 0;
  for (const Event& event : events) {
    EXPECT_TRUE(event.query());
    generations += event.generation();
  }
  EXPECT_EQ(generations, records);
}

TEST(EventStress, FailuresReachAllWhoWait) {
  const std::uint64_t seed = seed_of_run();
  const std::size_t rounds = scaled(300, 5);
  Device device = create_test_device({.workers = 4});
  Random random(seed);
  for (std::size_t round = 0; round < rounds; ++round) {
    StreamLease lease = device.lease();
    Stream stream = lease.stream();
    Event event = device.event();
    stream.run("fail", [] { throw std::runtime_error("as planned"); });
    event.record(stream);
    std::atomic<int> released = 0;
    const std::size_t delay = random.below(50);
    on_threads(4, [&](int number) {
      if (number == 0) {
        for (std::size_t i = 0; i < delay; ++i) std::this_thread::yield();
        stream.commit();
      }
      try {
        if (number < 3) {
          event.wait(kLimit);
        } else {
          Stream own = device.stream();
          own.wait_event(event);
          own.run("never", [] { ADD_FAILURE() << "ran after failed work"; });
          own.wait(kLimit);
        }
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::WorkFailed) << error.what();
        ++released;
      }
    });
    EXPECT_EQ(released, 4);
  }
}

TEST(EventStress, DeletersWhileThePoolCloses) {
  const std::uint64_t seed = seed_of_run();
  const std::size_t rounds = scaled(200, 5);
  for (std::size_t round = 0; round < rounds; ++round) {
    Device device = create_test_device({.workers = 4});
    on_threads(9, [&](int number) {
      Random random(seed, round * 16 + static_cast<std::size_t>(number));
      if (number == 8) {
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(2000)));
        return device.close();
      }
      std::vector<Event> held(8);
      try {
        Stream stream = device.stream();
        for (;;) {
          Event& event = held[random.below(held.size())];
          if (!event.valid() || random.one_in(3)) event = device.event();
          event.record(stream);
          if (random.one_in(4)) stream.commit();
          if (random.one_in(8)) event.reset();
        }
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Closed) << error.what();
      }
    });
  }
}

}  // namespace
}  // namespace millrace::test
