// Protect mode: missing dependencies are named, right programs are left alone.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "backends/host/backend.h"
#include "backends/host/clocks.h"
#include "backends/host/use_history.h"
#include "unit/backend_host/fake_sink.h"

namespace millrace::host {
namespace {

constexpr std::size_t kGranule = Memory::kGranule;

/// A device in protect mode and a program for it: each use is a submission of its own.
class ProtectTest : public testing::Test {
 protected:
  static constexpr int kQueues = 5;

  void SetUp() override {
    DeviceOptions options;
    options.protect = true;
    options.workers = 2;
    backend_ = std::make_unique<HostBackend>(0, options);
    ASSERT_TRUE(backend_->start(kQueues, sink_).ok());
    void* base = nullptr;
    ASSERT_TRUE(backend_->reserve(4 * kGranule, &base).ok());
    ASSERT_TRUE(backend_->commit(base, 4 * kGranule).ok());
    memory_ = static_cast<char*>(base);
  }
  void TearDown() override {
    ASSERT_TRUE(sink_.wait_count(submitted_));
    backend_->stop();
    backend_->release(memory_, 4 * kGranule);
  }

  TimelinePoint run(QueueId queue, std::string name, Uses uses, std::vector<TimelinePoint> waits = {},
                    SourcePlace place = SourcePlace::here()) {
    return run(queue,
               {task(
                   std::move(name), [] {}, std::move(uses), place)},
               std::move(waits));
  }
  TimelinePoint run(QueueId queue, std::vector<Operation> operations, std::vector<TimelinePoint> waits = {}) {
    const TimelinePoint point{queue, ++last_[queue]};
    EXPECT_TRUE(
        backend_->submit(submission(queue, point.value, std::move(operations), std::move(waits))).ok());
    ++submitted_;
    return point;
  }
  /// The host waits for everything submitted so far to be done, without saying so to the backend.
  void settle() { ASSERT_TRUE(sink_.wait_count(submitted_)); }

  Use read(std::size_t begin, std::size_t bytes) { return reads(memory_ + begin, bytes); }
  Use write(std::size_t begin, std::size_t bytes) { return writes(memory_ + begin, bytes); }

  /// Exactly one dependency is missing, between these two, over these bytes.
  void expect_missing(const std::string& earlier, const std::string& later, std::size_t begin,
                      std::size_t bytes) {
    settle();
    const auto missing = backend_->missing_dependencies();
    ASSERT_EQ(missing.size(), 1u);
    EXPECT_EQ(missing[0].earlier.operation, earlier);
    EXPECT_EQ(missing[0].later.operation, later);
    EXPECT_EQ(missing[0].address, memory_ + begin);
    EXPECT_EQ(missing[0].bytes, bytes);
    EXPECT_EQ(sink_.count(ErrorCode::InvalidState), 1u);
  }
  void expect_none() {
    settle();
    for (const auto& missing : backend_->missing_dependencies()) {
      ADD_FAILURE() << missing.earlier.operation << " before " << missing.later.operation;
    }
    EXPECT_EQ(sink_.count(ErrorCode::InvalidState), 0u);
  }

  FakeSink sink_;
  std::unique_ptr<HostBackend> backend_;
  char* memory_ = nullptr;
  std::map<QueueId, std::uint64_t> last_;
  std::size_t submitted_ = 0;
};

// Planted missing dependencies.

TEST_F(ProtectTest, MissingReadAfterWrite) {
  run(1, "fill", {write(0, 100)});
  run(2, "sum", {read(0, 100)});
  expect_missing("fill", "sum", 0, 100);
}

TEST_F(ProtectTest, MissingWriteAfterRead) {
  run(1, "sum", {read(0, 100)});
  run(2, "fill", {write(0, 100)});
  expect_missing("sum", "fill", 0, 100);
}

TEST_F(ProtectTest, MissingWriteAfterWrite) {
  run(1, "first", {write(0, 100)});
  run(2, "second", {write(0, 100)});
  expect_missing("first", "second", 0, 100);
}

TEST_F(ProtectTest, MissingThoughLongDone) {
  run(1, "fill", {write(0, 100)});
  settle();  // done, but nobody who submits knows that
  run(2, "sum", {read(0, 100)});
  expect_missing("fill", "sum", 0, 100);
}

TEST_F(ProtectTest, MissingForPartOfARange) {
  run(1, "fill", {write(1000, 1000)});
  run(2, "sum", {read(1900, 4096)});
  expect_missing("fill", "sum", 1900, 100);
}

TEST_F(ProtectTest, MissingSinceTheEventWasRecordedTooEarly) {
  const TimelinePoint before = run(1, "prepare", {write(0, 100)});
  run(1, "fill", {write(0, 100)});
  run(2, "sum", {read(0, 100)}, {before});
  expect_missing("fill", "sum", 0, 100);
}

TEST_F(ProtectTest, MissingSinceTheWrongStreamWaits) {
  const TimelinePoint filled = run(1, "fill", {write(0, 100)});
  run(3, "bystander", {read(0, 100)}, {filled});
  run(2, "sum", {read(0, 100)});
  expect_missing("fill", "sum", 0, 100);
}

TEST_F(ProtectTest, MissingForOneOfTwoReaders) {
  run(1, "fill", {write(0, 100)});
  const TimelinePoint filled{1, 1};
  const TimelinePoint first = run(2, "first reader", {read(0, 100)}, {filled});
  run(3, "second reader", {read(0, 100)}, {filled});
  run(1, "overwrite", {write(0, 100)}, {first});
  expect_missing("second reader", "overwrite", 0, 100);
}

TEST_F(ProtectTest, MissingRecordUse) {
  // The same address in another life: freed by stream 1's owner, handed out for stream 3.
  const TimelinePoint filled = run(1, "fill", {write(4096, 512)});
  run(2, "still reading", {read(4096, 512)}, {filled});
  run(3, "new owner", {write(4096, 512)}, {filled});
  expect_missing("still reading", "new owner", 4096, 512);
}

TEST_F(ProtectTest, MissingInTheMiddleOfASubmission) {
  run(1, "fill", {write(0, 100)});
  run(2, {task("harmless", [] {}, {read(500, 100)}), task("sum", [] {}, {read(600, 8), read(0, 100)}),
          task("also harmless", [] {}, {write(700, 8)})});
  expect_missing("fill", "sum", 0, 100);
}

TEST_F(ProtectTest, MissingThoughTheHostKnowsAnEarlierPoint) {
  const TimelinePoint known = run(1, "one", {write(0, 100)});
  run(1, "two", {write(0, 100)});
  settle();
  backend_->host_knows(known);
  run(2, "sum", {read(0, 100)});
  expect_missing("two", "sum", 0, 100);
}

TEST_F(ProtectTest, MissingAcrossSeveralRangesIsReportedOnce) {
  run(1, "fill", {write(0, 4096)});
  run(1, "patch", {read(1000, 10)});
  run(2, "sum", {read(0, 4096)});
  expect_missing("fill", "sum", 0, 4096);
}

TEST_F(ProtectTest, MissingAfterDecommitWhileInUse) {
  Door door;
  run(1, {task("slow", [&] { EXPECT_TRUE(door.pass()); }, {write(0, 100)})});
  backend_->decommit(memory_, kGranule);
  ASSERT_TRUE(backend_->commit(memory_, kGranule).ok());
  run(2, "sum", {read(0, 100)});
  door.open();
  expect_missing("slow", "sum", 0, 100);
}

TEST_F(ProtectTest, BothSidesAreNamed) {
  bool ran = false;
  run(1, "fill", {write(0, 100)}, {}, {"writer.cc", 11});
  run(2, {task("sum", [&] { ran = true; }, {read(0, 100)}, {"reader.cc", 22})});
  expect_missing("fill", "sum", 0, 100);
  EXPECT_FALSE(ran);
  const MissingDependency missing = backend_->missing_dependencies()[0];
  EXPECT_EQ(missing.earlier.stream, 1);
  EXPECT_EQ(missing.earlier.mode, AccessMode::write);
  EXPECT_EQ(missing.earlier.sequence, 1u);
  EXPECT_STREQ(missing.earlier.place.file, "writer.cc");
  EXPECT_EQ(missing.later.stream, 2);
  EXPECT_EQ(missing.later.mode, AccessMode::read);
  EXPECT_EQ(missing.later.place.line, 22);
  const Error& error = sink_.of(2)[0].status.error();
  EXPECT_EQ(error.code(), ErrorCode::InvalidState);
  EXPECT_EQ(error.rule(), "missing-dependency");
  for (const char* part : {"\"fill\" on stream 1", "writer.cc:11", "\"sum\" on stream 2", "reader.cc:22",
                           "wait_event", "record_use", "(100)"}) {
    EXPECT_NE(error.message().find(part), std::string::npos) << part << " not in: " << error.message();
  }
}

TEST_F(ProtectTest, RefusedUsesDoNotCountAgainstOthers) {
  const TimelinePoint filled = run(1, "fill", {write(0, 100)});
  run(2, "refused", {write(0, 100)});
  run(3, "sum", {read(0, 100)}, {filled});
  expect_missing("fill", "refused", 0, 100);
}

TEST_F(ProtectTest, ReportsAreBounded) {
  for (int i = 0; i < 1100; ++i) {
    run(1, "fill", {write(0, 100)});
    run(2, "sum", {read(0, 100)});
  }
  settle();
  EXPECT_EQ(backend_->missing_dependencies().size(), Protect::kMostReports);
  EXPECT_EQ(sink_.count(ErrorCode::InvalidState), 1100u);
}

// Right programs.

TEST_F(ProtectTest, RightOnOneStream) {
  for (int i = 0; i < 50; ++i) run(1, "step", {read(0, 100), write(50, 100)});
  expect_none();
}

TEST_F(ProtectTest, RightWithAnEvent) {
  const TimelinePoint filled = run(1, "fill", {write(0, 100)});
  const TimelinePoint read_it = run(2, "sum", {read(0, 100)}, {filled});
  run(1, "overwrite", {write(0, 100)}, {read_it});
  expect_none();
}

TEST_F(ProtectTest, RightSinceTheHostWaited) {
  const TimelinePoint filled = run(1, "fill", {write(0, 100)});
  settle();
  backend_->host_knows(filled);
  run(2, "sum", {read(0, 100)});
  run(3, "max", {read(0, 100)});
  expect_none();
}

TEST_F(ProtectTest, RightThroughAThirdStream) {
  const TimelinePoint filled = run(1, "fill", {write(0, 100)});
  const TimelinePoint relay = run(2, "relay", {}, {filled});
  run(2, "more", {});
  run(3, "sum", {read(0, 100)}, {relay});
  expect_none();
}

TEST_F(ProtectTest, RightSinceALaterPointWasWaitedFor) {
  run(1, "fill", {write(0, 100)});
  run(1, "other", {write(200, 100)});
  const TimelinePoint late = run(1, "more", {});
  run(2, "sum", {read(0, 100)}, {late});
  run(2, "again", {read(200, 100)});  // the wait holds for what follows on the stream too
  expect_none();
}

TEST_F(ProtectTest, RightReadersSideBySide) {
  const TimelinePoint filled = run(0, "fill", {write(0, 100)});
  std::vector<TimelinePoint> readers;
  for (int q = 1; q < kQueues; ++q) readers.push_back(run(q, "read", {read(0, 100)}, {filled}));
  run(0, "overwrite", {write(0, 100)}, readers);
  expect_none();
}

TEST_F(ProtectTest, RightSideBySideInOneBuffer) {
  for (int round = 0; round < 20; ++round) {
    for (int q = 0; q < kQueues; ++q) {
      run(q, "part", {write(static_cast<std::size_t>(q) * 100, 100)});  // neighbours touch, none overlap
    }
  }
  expect_none();
}

TEST_F(ProtectTest, RightWithRecordUse) {
  const TimelinePoint filled = run(1, "fill", {write(4096, 512)});
  const TimelinePoint reading = run(2, "still reading", {read(4096, 512)}, {filled});
  run(3, "new owner", {write(4096, 512)}, {filled, reading});
  expect_none();
}

TEST_F(ProtectTest, RightAfterDecommit) {
  run(1, "fill", {write(0, 100)});
  settle();
  backend_->decommit(memory_, kGranule);
  ASSERT_TRUE(backend_->commit(memory_, kGranule).ok());
  run(2, "fill again", {write(0, 100)});
  expect_none();
}

TEST_F(ProtectTest, RightWithHostMemoryThatIsNotTheDevices) {
  char mine[64];
  run(1, "one", {writes(mine, sizeof mine)});
  run(2, "two", {writes(mine, sizeof mine)});
  run(3, "nothing", {write(0, 0)});
  run(4, "nothing", {write(0, 0)});
  expect_none();
}

TEST_F(ProtectTest, RightPipelineOfManyRounds) {
  // Three stages over two buffers, with events both ways; the host learns of the end now and then.
  std::vector<TimelinePoint> free{{0, 0}, {0, 0}};
  for (std::size_t i = 0; i < 3000; ++i) {
    const std::size_t slot = i % 2;
    const TimelinePoint loaded = run(0, "load", {write(slot * 5000, 4000)}, {free[slot]});
    const TimelinePoint scaled =
        run(1, "scale", {read(slot * 5000, 4000), write(slot * 5000, 4000)}, {loaded});
    free[slot] = run(2, "store", {read(slot * 5000, 4000)}, {scaled});
    if (i % 500 == 499) {
      settle();
      backend_->host_knows(free[slot]);
    }
  }
  expect_none();
}

TEST_F(ProtectTest, RightWhenTheHostKnowsThroughAnother) {
  // The host waits for stream 2 only, which waited for stream 1.
  const TimelinePoint filled = run(1, "fill", {write(0, 100)});
  const TimelinePoint relay = run(2, "relay", {}, {filled});
  settle();
  backend_->host_knows(relay);
  run(3, "overwrite", {write(0, 100)});
  expect_none();
}

// The parts against slow references.

TEST(Clocks, AgreeWithReachability) {
  constexpr int kQueues = 4;
  std::mt19937_64 random(11);
  Clocks clocks(kQueues);
  std::vector<Submission> all;
  std::vector<std::vector<bool>> before;  // before[i][j]: j is ordered before i
  std::vector<bool> host;                 // what the host knows, with all before it
  std::uint64_t last[kQueues] = {};
  for (std::size_t i = 0; i < 400; ++i) {
    Submission s;
    s.queue = static_cast<int>(random() % kQueues);
    s.value = ++last[s.queue];
    for (std::uint64_t w = random() % 3; w > 0 && i > 0; --w) {
      const Submission& target = all[random() % i];
      s.waits.push_back({target.queue, target.value});
    }
    std::vector<bool> reach = host;
    reach.resize(i + 1);
    const auto join = [&](std::size_t j) {
      reach[j] = true;
      for (std::size_t k = 0; k < j; ++k) reach[k] = reach[k] || before[j][k];
    };
    for (std::size_t j = 0; j < i; ++j) {
      bool direct = all[j].queue == s.queue;
      for (const TimelinePoint& w : s.waits)
        direct = direct || (w.queue == all[j].queue && w.value >= all[j].value);
      if (direct) join(j);
    }
    const VectorClock clock = clocks.submit(s);
    for (std::size_t j = 0; j < i; ++j) {
      ASSERT_EQ(clock[static_cast<std::size_t>(all[j].queue)] >= all[j].value, reach[j])
          << i << " after " << j;
    }
    all.push_back(std::move(s));
    before.push_back(reach);
    if (random() % 20 == 0) {
      const std::size_t known = random() % all.size();
      clocks.host_knows({all[known].queue, all[known].value});
      host.resize(all.size());
      host[known] = true;
      for (std::size_t k = 0; k < known; ++k) host[k] = host[k] || before[known][k];
      for (std::size_t k = 0; k < all.size(); ++k) {
        host[k] = host[k] || (all[k].queue == all[known].queue && all[k].value <= all[known].value);
      }
    }
  }
}

TEST(Clocks, StayBounded) {
  constexpr int kQueues = 1024;
  Clocks clocks(kQueues);
  // Two queues that wait for each other forever while the host never asks.
  for (std::uint64_t v = 1; v < 5000; ++v) {
    Submission one{0, v, {{1, v - 1}}, {}, v};
    Submission two{1, v, {{0, v}}, {}, v};
    (void)clocks.submit(one);
    const VectorClock& clock = clocks.submit(two);
    ASSERT_EQ(clock[0], v);
  }
  EXPECT_LE(clocks.kept(), 64u);
  // A wait for a point whose clock was dropped contains at least what was before it.
  const VectorClock& clock = clocks.submit({2, 1, {{1, 10}}, {}, 1});
  EXPECT_GE(clock[0], 10u);
  EXPECT_GE(clock[1], 10u);
}

TEST(UseHistoryTest, AgreesWithAHistoryOfBytes) {
  constexpr std::size_t kBytes = 64;
  struct Byte {
    const UseRecord* write = nullptr;
    std::map<QueueId, const UseRecord*> reads;
  };
  std::vector<Byte> bytes(kBytes);
  std::vector<sync::Ref<UseRecord>> records;  // keeps them, so that addresses tell them apart
  std::mt19937 random(3);
  UseHistory history;
  for (std::uint64_t step = 1; step <= 4000; ++step) {
    const std::uintptr_t begin = random() % kBytes;
    const UseHistory::Range range{begin, begin + 1 + random() % (kBytes - begin)};
    const AccessMode mode = random() % 3 == 0 ? AccessMode::write : AccessMode::read;
    std::map<std::uintptr_t, std::map<const UseRecord*, int>> expected, found;
    for (std::uintptr_t b = range.begin; b < range.end; ++b) {
      if (bytes[b].write != nullptr) ++expected[b][bytes[b].write];
      if (mode == AccessMode::read) continue;
      for (const auto& [queue, read] : bytes[b].reads) ++expected[b][read];
    }
    history.for_each_conflict(range, mode, [&](const UseRecord& record, UseHistory::Range common) {
      ASSERT_LT(common.begin, common.end);
      for (std::uintptr_t b = common.begin; b < common.end; ++b) ++found[b][&record];
    });
    ASSERT_EQ(found, expected) << step;
    if (random() % 50 == 0) {
      const std::uint64_t over = step - random() % 50;
      history.drop(range, [&](TimelinePoint point) { return point.value <= over; });
      for (std::uintptr_t b = range.begin; b < range.end; ++b) {
        if (bytes[b].write != nullptr && bytes[b].write->point.value <= over) bytes[b].write = nullptr;
        std::erase_if(bytes[b].reads, [&](const auto& read) { return read.second->point.value <= over; });
      }
      continue;
    }
    const TimelinePoint point{static_cast<QueueId>(random() % 3), step};
    records.push_back(sync::make_ref<UseRecord>(point, step, "use", mode, SourcePlace()));
    history.add(range, records.back());
    for (std::uintptr_t b = range.begin; b < range.end; ++b) {
      if (mode == AccessMode::write) {
        bytes[b] = {records.back().get(), {}};
      } else {
        bytes[b].reads[point.queue] = records.back().get();
      }
    }
  }
}

}  // namespace
}  // namespace millrace::host
