// A driver whose streams hold a few pieces of work, each of which is done when a scenario says so.
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "backends/cuda/memory.h"
#include "backends/cuda/queue.h"
#include "device/graph.h"
#include "tiny_queues.h"

namespace millrace::verify {

/// What a stream is given: a graph, which the backend launches without a look at what is in it.
///
/// Asked whether it is done the driver says no to each thread once; from then on it does not answer before it
/// is, so that nobody asks for ever. What it has not said is what a run does not depend on.
///
/// Thread safety: any thread.
class CudaWork final : public DeviceGraph {
 public:
  void finish() { end(State::done); }
  /// With the device: it does no more work.
  void crash() { end(State::crashed); }

  CUresult ask();
  void* native() const noexcept override { return const_cast<CudaWork*>(this); }

  /// An operation that is this work.
  Operation operation();

 private:
  enum class State : std::uint8_t { running, done, crashed };
  void end(State how) { state_.store(how, std::memory_order_release); }

  interleave::atomic<State> state_{State::running};
  std::array<bool, 32> asked_{};  // by thread
};

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

 private:
  /// None of it is the device's.
  class NoMemory final : public cuda::Memory {
   public:
    NoMemory() : Memory({}, "cuda") {}
    Status grant_access(CUdevice) noexcept override { return {}; }
    bool contains(const void*, std::size_t) const noexcept override { return false; }
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
