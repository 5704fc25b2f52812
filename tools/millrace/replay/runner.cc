#include "replay/runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <latch>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <millrace/error.h>

#include "interrupt.h"

namespace millrace::tool {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kStepsPerLook = 256;  // at the flag that ends a replay early
// Of what all threads hold: looking moves cache lines between them, which only long logs need to be spared.
constexpr std::size_t kStepsPerSample = 32;
constexpr std::size_t kShortLog = 4096;  // steps of a thread

/// Where each block is: null before its allocation and after its release.
///
/// Thread safety: any thread; a block is put once and taken once.
class Blocks {
 public:
  explicit Blocks(std::size_t count) : addresses_(new std::atomic<void*>[count]()) {}

  /// Instead of an address, for a block that found no memory.
  static void* none() noexcept {
    static char mark;
    return &mark;
  }

  void put(std::uint32_t block, void* address) noexcept {
    // relaxed: only the thread that puts it takes it.
    addresses_[block].store(address, std::memory_order_relaxed);
  }
  void* take(std::uint32_t block) noexcept {
    void* const address = addresses_[block].load(std::memory_order_relaxed);  // relaxed: as put
    addresses_[block].store(nullptr, std::memory_order_relaxed);              // read again after the joins
    return address;
  }

  void put_for_another(std::uint32_t block, void* address) {
    // seq_cst, as the load behind it and both in take_from_another: either this thread sees that somebody
    // waits, or whoever is about to wait sees the address.
    addresses_[block].store(address, std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_seq_cst) == 0) return;
    const std::lock_guard lock(mutex_);
    put_.notify_all();
  }

  void* take_from_another(std::uint32_t block) {
    // acquire: pairs with the store in put_for_another.
    if (addresses_[block].load(std::memory_order_acquire) == nullptr) {
      std::unique_lock lock(mutex_);
      waiting_.fetch_add(1, std::memory_order_seq_cst);
      put_.wait(lock, [&] { return addresses_[block].load(std::memory_order_seq_cst) != nullptr; });
      waiting_.fetch_sub(1, std::memory_order_seq_cst);
    }
    return take(block);
  }

 private:
  const std::unique_ptr<std::atomic<void*>[]> addresses_;
  std::atomic<int> waiting_{0};
  std::mutex mutex_;             // protects no data: nobody waits while it is notified
  std::condition_variable put_;  // an address was put for another thread
};

/// What one thread found; on cache lines of its own.
struct alignas(128) Worker {
  Clock::time_point begin, end;
  // Allocated less freed by this thread, modulo 2^64: what another allocated may be freed here.
  std::atomic<std::uint64_t> live{0};
  std::uint64_t peak_live = 0;
  std::uint64_t done = 0;
  std::uint64_t out_of_memory = 0;
  std::optional<ReplayFailure> first_failure;
  std::exception_ptr failure;
};

class Replayer {
 public:
  Replayer(const ReplayPlan& plan, ReplayAllocator& allocator, std::optional<Clock::duration> limit)
      : plan_(plan),
        allocator_(allocator),
        limit_(limit),
        blocks_(plan.blocks),
        workers_(plan.threads.size()) {}

  ReplayRun run() {
    ReplayRun result;
    const std::size_t threads = plan_.threads.size();
    std::latch start(static_cast<std::ptrdiff_t>(threads) + 1);
    std::vector<std::thread> running;
    running.reserve(threads);
    try {
      while (running.size() < threads) {
        running.emplace_back([this, i = running.size(), &start] {
          allocator_.enter();
          start.arrive_and_wait();
          work(i);
        });
      }
    } catch (const std::system_error&) {
      failed_.store(true, std::memory_order_relaxed);  // relaxed: as in work
      start.count_down(static_cast<std::ptrdiff_t>(threads - running.size()) + 1);
      for (std::thread& thread : running) thread.join();
      throw;
    }
    start.arrive_and_wait();
    for (std::thread& thread : running) thread.join();
    result.peak_committed = allocator_.peak_committed();
    release_rest();
    auto begin = Clock::time_point::max(), end = Clock::time_point::min();
    for (Worker& worker : workers_) {
      add(result, worker);
      begin = std::min(begin, worker.begin);
      end = std::max(end, worker.end);
    }
    if (begin < end) result.seconds = std::chrono::duration<double>(end - begin).count();
    std::uint64_t steps = 0;
    for (const auto& list : plan_.threads) steps += list.size();
    result.interrupted = result.done < steps;
    result.late = result.interrupted && late_.load(std::memory_order_relaxed);  // relaxed: after the joins
    return result;
  }

 private:
  static void add(ReplayRun& result, Worker& worker) {
    if (worker.failure) std::rethrow_exception(worker.failure);
    result.done += worker.done;
    result.out_of_memory += worker.out_of_memory;
    result.peak_live = std::max(result.peak_live, worker.peak_live);
    if (!worker.first_failure) return;
    if (!result.first_failure || worker.first_failure->number < result.first_failure->number) {
      result.first_failure = std::move(worker.first_failure);
    }
  }

  void work(std::size_t thread) {
    const std::vector<ReplayStep>& steps = plan_.threads[thread];
    Worker& worker = workers_[thread];
    const bool is_short = workers_.size() == 1 || steps.size() < kShortLog;
    const std::size_t steps_per_sample = is_short ? 1 : kStepsPerSample;
    std::size_t next = 0;
    worker.begin = Clock::now();
    try {
      for (; next < steps.size(); ++next) {
        if (next % kStepsPerLook == 0 && (stopped() || is_late(worker))) break;
        do_step(steps[next], worker);
        if (next % steps_per_sample == 0) sample(worker);
        ++worker.done;
      }
    } catch (...) {
      worker.failure = std::current_exception();
      // relaxed: the joins hand over what led to it.
      failed_.store(true, std::memory_order_relaxed);
    }
    worker.end = Clock::now();
    // Whoever waits for a block of this thread must not wait for ever.
    for (; next < steps.size(); ++next) {
      if (steps[next].allocate && steps[next].handed_over) {
        blocks_.put_for_another(steps[next].block, Blocks::none());
      }
    }
  }

  bool is_late(const Worker& worker) noexcept {
    if (!limit_ || Clock::now() - worker.begin < *limit_) return false;
    late_.store(true, std::memory_order_relaxed);  // relaxed: read after the joins
    return true;
  }
  bool stopped() const noexcept { return interrupted() || failed_.load(std::memory_order_relaxed); }

  /// relaxed, as in count: a sum of counters that change meanwhile is near enough.
  void sample(Worker& worker) const {
    std::uint64_t live = 0;
    for (const Worker& each : workers_) live += each.live.load(std::memory_order_relaxed);
    if (live >> 63U == 0) worker.peak_live = std::max(worker.peak_live, live);
  }

  static void count(Worker& worker, std::uint64_t bytes) {
    worker.live.store(worker.live.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  }

  /// none() where there was no memory.
  void* allocate(const ReplayStep& step, Worker& worker) {
    try {
      void* const address = allocator_.allocate(step.stream, step.bytes);
      count(worker, live_bytes(step.bytes));
      return address;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::OutOfMemory) throw;
      if (worker.out_of_memory++ == 0) {
        worker.first_failure = {step.number, step.thread, step.stream, step.bytes, error.message()};
      }
      return Blocks::none();
    }
  }

  void do_step(const ReplayStep& step, Worker& worker) {
    if (!step.allocate) {
      void* const address =
          step.handed_over ? blocks_.take_from_another(step.block) : blocks_.take(step.block);
      if (address == Blocks::none()) return;
      allocator_.release(step.stream, address, step.bytes);
      count(worker, -live_bytes(step.bytes));
      return;
    }
    void* const address = allocate(step, worker);
    if (step.handed_over) {
      blocks_.put_for_another(step.block, address);
    } else {
      blocks_.put(step.block, address);
    }
  }

  void release_rest() {
    for (const auto& steps : plan_.threads) {
      for (const ReplayStep& step : steps) {
        if (!step.allocate) continue;
        void* const address = blocks_.take(step.block);
        if (address != nullptr && address != Blocks::none()) {
          allocator_.release(step.stream, address, step.bytes);
        }
      }
    }
  }

  const ReplayPlan& plan_;
  ReplayAllocator& allocator_;
  const std::optional<Clock::duration> limit_;
  Blocks blocks_;
  std::vector<Worker> workers_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> late_{false};
};

}  // namespace

ReplayRun run_replay(const ReplayPlan& plan, ReplayAllocator& allocator,
                     std::optional<Clock::duration> limit) {
  return Replayer(plan, allocator, limit).run();
}

}  // namespace millrace::tool
