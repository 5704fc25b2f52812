// A driver whose streams hold a few pieces of work, each of which is done when a scenario says so.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "backends/cuda/memory.h"
#include "backends/cuda/queue.h"
#include "device/graph.h"
#include "tiny_queues.h"

namespace millrace::verify {

// Why scenarios are bounded: the watcher naps for as long as something is underway that does not move.
inline const char* const kLooks = "the watcher looks again as often as it likes";
inline const char* const kSwitches = "the watcher looks again as often as it likes; two preemptions";
constexpr std::uint64_t kASecond =
    1'000'000'000;  ///< a look at the clock that ends what waits for threads to end

/// What a stream is given: a graph, which the backend launches without a look at what is in it.
///
/// Asked whether it is done the driver says no to each thread once; from then on it does not answer before it
/// is, so that nobody asks for ever. What it has not said is what a run does not depend on.
///
/// Thread safety: any thread.
class CudaWork final : public DeviceGraph {
 public:
  void finish() { end(State::done); }
  /// With the device: all its work does, in any order.
  void crash() { end(State::crashed); }
  bool is_done() const { return state_.load(std::memory_order_acquire) == State::done; }

  /// Called by whoever launches it, before it is on the stream.
  std::function<void()> when_launched;

  CUresult ask();
  /// Until it has ended.
  CUresult wait();
  void* native() const noexcept override { return const_cast<CudaWork*>(this); }

  /// An operation that is this work.
  Operation operation();

 private:
  enum class State : std::uint8_t { running, done, crashed };
  void end(State how) { state_.store(how, std::memory_order_release); }

  interleave::atomic<State> state_{State::running};
  std::array<bool, 32> asked_{};  // by thread
};

/// A stream that somebody else made and puts work on. Ends after the queues that wrap it.
///
/// Thread safety: any thread; put before the stream is wrapped.
class CudaStream {
 public:
  CudaStream();
  ~CudaStream();
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  CUstream handle() const noexcept { return stream_; }
  void put(CudaWork& work);
  void begin_capture();
  void end_capture();
  /// Was anything put on it, or asked of it that spoils a capture, while it was captured?
  bool is_spoilt() const;
  /// What is on it goes on, and the handle is nobody's. One in a run.
  void destroy();

 private:
  CUstream stream_;
};
constexpr std::uint64_t kStreamNumber = 7;  ///< the driver's, of each of them

/// A sum of f32 that lie at the number's place in the device's memory, to be launched with its like: of
/// 1,024, by one block; or of a million, by several, which count each other (cuda/reduce/tickets.h). The
/// result's place is another number's.
ReduceWork sum_of(int input, int result, bool split = false);
Operation sum_operation(int input, int result, bool split = false);
/// How many reductions were launched in this run.
std::size_t reductions_launched();
/// From here on a stream's event is recorded only when all of so many reductions that each submission has
/// were launched; 0: nothing is looked at. In a run, before its threads start.
void expect_reductions_of_each(std::size_t count);
/// These are nobody's now: whoever counts with them is going to give them back.
void forget_tickets(const unsigned* words);

/// How much of its stream an event marks. The caller sees to it that it is not recorded meanwhile.
std::size_t marked_by(CUevent event);

/// The production class over that driver; stopped when it ends.
class CudaQueues {
 public:
  enum class Start : std::uint8_t {
    succeeds,
    may_fail,  ///< by an answer: then nothing is submitted
    by_hand,   ///< by try_to_start
  };
  explicit CudaQueues(int queues, TinySink& sink, int workers = 1, Start start = Start::succeeds);
  ~CudaQueues() {
    if (started_.ok()) INTERLEAVE_EXPECT(queues_->stop());
  }
  CudaQueues(const CudaQueues&) = delete;
  CudaQueues& operator=(const CudaQueues&) = delete;

  const Status& started() const noexcept { return started_; }
  /// As the backend: an exception leaves it as one that has to be stopped.
  void try_to_start();

  cuda::Queues* operator->() const noexcept { return queues_.get(); }
  void submit(Submission made) { INTERLEAVE_EXPECT(queues_->submit(sink_.expect(std::move(made))).ok()); }
  void wrap(QueueId queue, const CudaStream& stream,
            const StreamIdentity& identity = {.number = kStreamNumber}) {
    bool wrapped = false;
    INTERLEAVE_EXPECT(queues_->wrap(queue, stream.handle(), identity, &wrapped).ok() && wrapped);
  }

 private:
  /// None of it is the device's, but for what sums are of.
  class NoMemory final : public cuda::Memory {
   public:
    NoMemory() : Memory({}, "cuda") {}
    Status grant_access(CUdevice) noexcept override { return {}; }
    bool contains(const void* address, std::size_t) const noexcept override;
    std::size_t committed_bytes() const noexcept override { return 0; }
    std::size_t granule() const noexcept override { return kLargestGranule; }
    Status reserve(std::size_t, void**) noexcept override { return {}; }
    void release(void*, std::size_t) noexcept override {}
    Status commit(void*, std::size_t) noexcept override { return {}; }
    std::span<std::byte> decommittable(void*, std::size_t) const noexcept override { return {}; }
    void decommit(void*, std::size_t) noexcept override {}
  };

  TinySink& sink_;
  NoMemory memory_;
  sync::Ref<cuda::Queues> queues_;
  Status started_;
};

}  // namespace millrace::verify
