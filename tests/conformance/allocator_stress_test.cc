// The allocator under many threads: patterns, cross-thread frees, uses on other streams, the equation.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <atomic>
#include <barrier>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "support/device_pattern.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr int kThreads = 8;
constexpr std::size_t kBarriers = 128;
constexpr std::size_t kHeld = 48;  // blocks of a thread, of each kind

struct HeldBlock {
  void* data = nullptr;
  std::size_t bytes = 0;
  std::uint64_t tag = 0;
};

/// Blocks that other threads are to check and free.
class Mailbox {
 public:
  void put(const HeldBlock& block) {
    const std::lock_guard lock(mutex_);
    blocks_.push_back(block);
  }
  std::vector<HeldBlock> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(blocks_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<HeldBlock> blocks_;
};

/// Two kinds of blocks, in one run on one device. Those of the thread's own stream are written and
/// checked at once, and no work that has not been waited for uses them. Those of its second stream are
/// written, checked, and read on other threads' streams by queued work only, and freed while that may not
/// have run.
class Stress {
 public:
  Stress(const DeviceOptions& options, std::uint64_t seed, std::size_t operations)
      : device_(create_test_device(options)), seed_(seed), operations_(patterns_.operations(operations)) {
    for (int i = 0; i < kThreads; ++i) leases_.push_back(device_.lease());
  }

  void run() {
    std::barrier round(kThreads);
    on_threads(
        kThreads,
        [&](int number) {
          Worker worker(*this, number);
          for (std::size_t i = 0; i < kBarriers; ++i) {
            while (worker.done < operations_ * (i + 1) / kBarriers / kThreads) worker.step();
            round.arrive_and_wait();
            if (number == static_cast<int>(i % kThreads)) at_barrier();
            round.arrive_and_wait();
          }
          worker.free_all();
          round.arrive_and_wait();  // so that all mail has been sent
          worker.empty_mailbox();
          done_ += worker.done;
        },
        std::chrono::seconds(500));
    device_.synchronize();
    EXPECT_EQ(wrong_, 0u) << "blocks were used by two at once";
    EXPECT_GE(done_, operations_ / kThreads * kThreads);
    EXPECT_EQ(checks_, kBarriers);
    EXPECT_TRUE(device_.missing_dependencies().empty());
    EXPECT_EQ(device_.memory().live, 0u);
    EXPECT_EQ(device_.memory().allocations, device_.memory().frees);
    leases_.clear();
    device_.trim();
    EXPECT_EQ(device_.memory().committed, 0u);
    device_.check_accounting();
  }

 private:
  struct Worker {
    Worker(Stress& s, int n)
        : stress(s),
          number(n),
          random(s.seed_, static_cast<std::uint64_t>(n)),
          stream(s.leases_[static_cast<std::size_t>(n)].stream()),
          read(s.device_.event()) {}

    void step() {
      for (const HeldBlock& block : stress.mail_[number].take()) stress.check_and_free(block), ++done;
      // Where both kinds take copies, one costs as much as the other.
      if (random.one_in(stress.patterns_.in_place() ? 40 : 4)) {
        queued_step();
      } else {
        host_step();
      }
    }

    void host_step() {
      if (mine.size() == kHeld || (!mine.empty() && random.one_in(3))) {
        std::swap(mine[random.below(mine.size())], mine.back());
        const HeldBlock block = mine.back();
        mine.pop_back();
        if (random.one_in(4)) {
          stress.mail_[random.below(kThreads)].put(block);
          return;
        }
        stress.check_and_free(block);
      } else {
        const std::size_t most = random.one_in(100) ? 4 * kMiB : 64 * kKiB;
        HeldBlock block{nullptr, random.log_uniform(1, most), random.next()};
        block.data = stress.device_.allocate(block.bytes);
        stress.patterns_.write(block.data, block.bytes, block.tag);
        mine.push_back(block);
      }
      ++done;
    }

    void queued_step() {
      Device& device = stress.device_;
      if (queued.size() == kHeld || (!queued.empty() && random.one_in(3))) {
        std::swap(queued[random.below(queued.size())], queued.back());
        const HeldBlock block = queued.back();
        queued.pop_back();
        stress.record_check(stream, block);
        if (random.one_in(2)) use_elsewhere(block);
        device.deallocate(block.data);
      } else {
        HeldBlock block{nullptr, random.log_uniform(8, random.one_in(50) ? 4 * kMiB : 32 * kKiB),
                        random.next()};
        block.data = device.allocate(stream, block.bytes);
        stress.patterns_.record_write(stream, block.data, block.bytes, block.tag);
        queued.push_back(block);
      }
      ++done;
    }

    void use_elsewhere(const HeldBlock& block) {
      Stream other = stress.leases_[random.below(kThreads)].stream();
      if (other == stream) return;
      read.record(stream);
      stream.commit();
      const bool whole_stream = random.one_in(2);
      if (whole_stream) stress.device_.record_stream(block.data, other);
      other.wait_event(read);
      stress.record_check(other, block);
      other.commit();
      if (!whole_stream) stress.device_.record_use(block.data, other);
    }

    void free_all() {
      for (const HeldBlock& block : mine) stress.check_and_free(block);
      for (const HeldBlock& block : queued) {
        stress.record_check(stream, block);
        stress.device_.deallocate(block.data);
      }
      stream.commit();
    }
    void empty_mailbox() {
      for (const HeldBlock& block : stress.mail_[number].take()) stress.check_and_free(block);
    }

    Stress& stress;
    const int number;
    Random random;
    Stream stream;
    Event read;
    std::vector<HeldBlock> mine, queued;
    std::size_t done = 0;
  };

  void check_and_free(const HeldBlock& block) {
    if (!patterns_.check(block.data, block.bytes, block.tag)) ++wrong_;
    device_.deallocate(block.data);
  }
  void record_check(Stream stream, const HeldBlock& block) {
    patterns_.record_check(stream, block.data, block.bytes, block.tag, [this](bool found) {
      if (!found) ++wrong_;
    });
  }
  void at_barrier() {
    device_.check_accounting();
    EXPECT_LE(device_.memory().committed, device_.memory().limit);
    if (checks_++ % 16 == 15) {
      device_.trim();
      device_.check_accounting();
    }
  }

  Device device_;
  const DevicePatterns patterns_{device_};
  const std::uint64_t seed_;
  const std::size_t operations_;
  std::vector<StreamLease> leases_;
  Mailbox mail_[kThreads];
  std::atomic<std::size_t> wrong_ = 0;
  std::atomic<std::size_t> done_ = 0;
  std::size_t checks_ = 0;  // by whose turn it is at a barrier
};

TEST(AllocatorStress, FiveMillionOperationsOnEightThreads) {
  Stress({.memory_limit = 1024 * kMiB}, seed_of_run(), scaled(5'000'000, 25, 4)).run();
}

TEST(AllocatorStress, Chaos) {
  const std::uint64_t seed = seed_of_run();
  MILLRACE_SKIP_IF_UNSUPPORTED({.chaos = seed});
  Stress({.memory_limit = 1024 * kMiB, .chaos = seed}, seed, scaled(200'000, 10)).run();
}

TEST(AllocatorStress, Protect) {
  MILLRACE_SKIP_IF_UNSUPPORTED({.protect = true});
  Stress({.memory_limit = 1024 * kMiB, .protect = true}, seed_of_run(), scaled(100'000, 10)).run();
}

TEST(AllocatorStress, ChaosAndProtect) {
  const std::uint64_t seed = seed_of_run();
  MILLRACE_SKIP_IF_UNSUPPORTED({.chaos = seed, .protect = true});
  Stress({.memory_limit = 1024 * kMiB, .chaos = seed, .protect = true}, seed, scaled(50'000, 10)).run();
}

TEST(AllocatorStress, SixtyFourThreadsOnThirtyTwoStreams) {
  constexpr int kMany = 64;
  const std::uint64_t seed = seed_of_run();
  Device device = create_test_device({.memory_limit = 1024 * kMiB, .streams = 32});
  const DevicePatterns patterns(device);
  const std::size_t operations = patterns.operations(scaled(8'000, 10));
  std::barrier all(kMany);
  std::atomic<std::size_t> wrong = 0;
  on_threads(
      kMany,
      [&](int number) {
        Random random(seed, static_cast<std::uint64_t>(number));
        static_cast<void>(device.stream());
        all.arrive_and_wait();  // all of them hold a lease now
        std::vector<HeldBlock> held;
        for (std::size_t i = 0; i < operations; ++i) {
          if (held.size() < 16) {
            HeldBlock block{nullptr, random.log_uniform(1, 256 * kKiB), random.next()};
            block.data = device.allocate(block.bytes);
            patterns.write(block.data, block.bytes, block.tag);
            held.push_back(block);
            continue;
          }
          std::swap(held[random.below(held.size())], held.back());
          if (!patterns.check(held.back().data, held.back().bytes, held.back().tag)) ++wrong;
          device.deallocate(held.back().data);
          held.pop_back();
        }
        all.arrive_and_wait();
        if (number == 0) device.check_accounting();
        all.arrive_and_wait();
        for (const HeldBlock& block : held) device.deallocate(block.data);
      },
      std::chrono::seconds(300));
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(device.streams().streams, 32);
  EXPECT_EQ(device.streams().leased, 0);
  EXPECT_GE(device.streams().shared_leases, static_cast<std::uint64_t>(kMany - 32));
  EXPECT_EQ(device.memory().live, 0u);
  EXPECT_EQ(device.memory().cached, 0u);
  device.check_accounting();
}

}  // namespace
}  // namespace millrace::test
