// Eight threads record, commit and add handlers on shared streams: each handler runs exactly once, in order,
// whatever happens to its command buffer.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <array>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <vector>

#include "support/eventually.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr int kThreads = 8;
constexpr int kStreams = 4;
constexpr std::size_t kHandlers = 100'000;

enum class Kind : std::uint8_t { scheduled, completed };

/// How often each handler ran, and what the handlers saw that they should not have.
class Ledger {
 public:
  explicit Ledger(std::size_t handlers) : runs_(handlers), accepted_(handlers) {}

  std::size_t size() const { return runs_.size(); }
  /// The next handler's number; size() or more when there are enough.
  std::size_t take() { return next_.fetch_add(1); }
  std::size_t run_so_far() const { return run_.load(); }
  void accept(std::size_t number) { accepted_[number] = 1; }

  Handler handler(std::size_t number, Kind kind) {
    return [this, number, kind](const Completion& completion) { run(number, kind, completion); };
  }

  /// After all threads are done and no handler is left.
  void check() const {
    std::size_t accepted = 0, wrong = 0;
    for (std::size_t i = 0; i < size(); ++i) {
      accepted += accepted_[i];
      if (runs_[i] != accepted_[i] && wrong++ < 5) {
        ADD_FAILURE() << "handler " << i << (accepted_[i] != 0 ? "" : ", which was refused,") << " ran "
                      << int{runs_[i]} << " times";
      }
    }
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(run_, accepted);
    EXPECT_EQ(out_of_order_, 0)
        << "handlers of a stream ran for an earlier buffer after those of a later one";
    EXPECT_EQ(not_told_, 0) << "handlers were told a status and an error that do not fit";
    EXPECT_EQ(at_once_, 0) << "two handlers of one kind and one stream ran at the same time";
  }
  std::uint64_t told(BufferStatus status) const { return told_[static_cast<std::size_t>(status)]; }

 private:
  void run(std::size_t number, Kind kind, const Completion& completion) {
    if (completion.stream < 0 || completion.stream > kStreams) {
      ++not_told_;
      return;
    }
    Seen& seen = seen_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(completion.stream)];
    if (seen.running.exchange(true)) ++at_once_;
    // Those of an abandoned buffer need not wait for what was committed before it.
    const bool in_order = completion.status != BufferStatus::abandoned;
    if (in_order && seen.last.exchange(completion.sequence) > completion.sequence) ++out_of_order_;
    const bool with_error =
        completion.status == BufferStatus::failed || completion.status == BufferStatus::closed;
    if (with_error != (completion.error != nullptr)) ++not_told_;
    if (kind == Kind::completed && !is_final(completion.status)) ++not_told_;
    ++told_[static_cast<std::size_t>(completion.status)];
    ++runs_[number];
    seen.running = false;
    ++run_;
  }

  struct Seen {
    std::atomic<std::uint64_t> last = 0;
    std::atomic<bool> running = false;
  };
  std::vector<std::atomic<std::uint8_t>> runs_;
  std::vector<std::uint8_t> accepted_;  // each written by the thread that took the number
  std::atomic<std::size_t> next_ = 0, run_ = 0;
  std::array<std::array<Seen, kStreams + 1>, 2> seen_;
  std::array<std::atomic<std::uint64_t>, 7> told_{};
  std::atomic<int> out_of_order_ = 0, not_told_ = 0, at_once_ = 0;
};

/// One device, its few streams, and eight threads that give them work.
class HandlerStress : public testing::Test {
 protected:
  void open(std::optional<std::uint64_t> chaos = std::nullopt) {
    device_ = create_test_device({.streams = kStreams + 1, .workers = 3, .chaos = chaos});
    for (StreamLease& lease : leases_) lease = device_.lease();
  }

  /// Until the ledger is full or the device is closed. fail_one_in 0: no work fails.
  void work(Ledger& ledger, std::uint64_t seed, int number, std::size_t fail_one_in) {
    Random random(seed, static_cast<std::size_t>(number));
    try {
      for (;;) {
        Stream stream = leases_[random.below(kStreams)].stream();
        if (random.one_in(3)) {
          const bool fail = fail_one_in != 0 && random.one_in(fail_one_in);
          stream.run("work", [fail] {
            if (fail) throw std::runtime_error("as planned");
          });
        }
        for (std::size_t n = random.below(4); n > 0; --n) {
          const Kind kind = random.one_in(2) ? Kind::scheduled : Kind::completed;
          const std::size_t handler = ledger.take();
          if (handler >= ledger.size()) return;
          if (kind == Kind::scheduled) {
            stream.on_scheduled(ledger.handler(handler, kind));
          } else {
            stream.on_completed(ledger.handler(handler, kind));
          }
          ledger.accept(handler);
        }
        if (random.one_in(4)) stream.commit();
        if (random.one_in(50)) stream.command_buffer().abandon();
      }
    } catch (const Error& error) {
      // Another thread's commit may come between taking the buffer and abandoning it.
      if (error.rule() == "commit-once") return work(ledger, random.next(), number, fail_one_in);
      EXPECT_EQ(error.code(), ErrorCode::Closed) << error.what();
    }
  }

  Device device_;
  std::array<StreamLease, kStreams> leases_;
};

TEST_F(HandlerStress, AHundredThousandEachRunOnce) {
  const std::uint64_t seed = seed_of_run();
  open();
  Ledger ledger(scaled(kHandlers, 5));
  on_threads(kThreads, [&](int number) { work(ledger, seed, number, 0); });
  device_.synchronize();
  ledger.check();
  EXPECT_EQ(ledger.run_so_far(), ledger.size());
  EXPECT_EQ(ledger.told(BufferStatus::failed), 0u);
  EXPECT_GT(ledger.told(BufferStatus::completed), 0u);
  EXPECT_EQ(device_.streams().handlers_run, ledger.size());
}

TEST_F(HandlerStress, AlsoWhenWorkFails) {
  const std::uint64_t seed = seed_of_run();
  open();
  Ledger ledger(scaled(kHandlers, 5));
  on_threads(kThreads, [&](int number) { work(ledger, seed, number, 10); });
  EXPECT_THROW(device_.synchronize(), Error);
  EXPECT_NO_THROW(device_.synchronize());
  ledger.check();
  EXPECT_EQ(ledger.run_so_far(), ledger.size());
  EXPECT_GT(ledger.told(BufferStatus::failed), 0u);
  EXPECT_GT(ledger.told(BufferStatus::completed), 0u);
}

TEST_F(HandlerStress, AlsoInAnOrderThatChaosChooses) {
  const std::uint64_t seed = seed_of_run();
  MILLRACE_SKIP_IF_UNSUPPORTED({.chaos = seed});
  open(seed);
  Ledger ledger(scaled(kHandlers / 20, 5));
  on_threads(kThreads, [&](int number) { work(ledger, seed, number, 100); });
  try {
    device_.synchronize();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::WorkFailed) << error.what();
  }
  ledger.check();
  EXPECT_EQ(ledger.run_so_far(), ledger.size());
}

TEST_F(HandlerStress, AlsoWhenTheDeviceClosesInTheMiddle) {
  const std::uint64_t seed = seed_of_run();
  constexpr std::size_t kRounds = 20;
  std::size_t run = 0;
  for (std::size_t round = 0; round < kRounds; ++round) {
    open();
    Ledger ledger(scaled(kHandlers, 5) / kRounds);
    const std::size_t some = Random(seed, round).below(ledger.size());
    on_threads(kThreads + 1, [&](int number) {
      if (number < kThreads) return work(ledger, seed + round, number, 10);
      // All may have been taken, and lie in buffers that nobody commits any more.
      static_cast<void>(
          eventually([&] { return ledger.run_so_far() >= some; }, std::chrono::milliseconds(200)));
      device_.close();
    });
    ledger.check();
    run += ledger.run_so_far();
  }
  EXPECT_GT(run, 0u);
}

}  // namespace
}  // namespace millrace::test
