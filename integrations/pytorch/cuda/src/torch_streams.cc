#include "torch_streams.h"

#include <utility>

namespace millrace_torch {
namespace {

std::uint64_t next_serial() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: it only has to be another one
}

}  // namespace

constinit thread_local TorchStreams::Named TorchStreams::named_[TorchStreams::kNamed];
constinit thread_local std::size_t TorchStreams::next_named_ = 0;

TorchStreams::TorchStreams(millrace::Device& device)
    : device_(device), serial_(next_serial()), external_memory_(device) {}

millrace::Stream TorchStreams::look_up(cudaStream_t stream) {
  // Before the look-up: a forget that comes between makes the entry old at once.
  const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);  // acquire: as in of
  millrace::Stream wrapped;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = leases_.find(stream); found != leases_.end()) {
      wrapped = found->second.stream();
    } else {
      // torch keeps its streams for the life of the process. So one that is named for the first time inside a
      // capture, which it has joined, is known too.
      millrace::StreamLease lease = device_.wrap(stream, millrace::StreamLifetime::device);
      wrapped = lease.stream();
      leases_.emplace(stream, std::move(lease));
    }
  }
  named_[next_named_] = {serial_, stream, epoch, wrapped};
  next_named_ = (next_named_ + 1) % kNamed;
  return wrapped;
}

millrace::Stream TorchStreams::of_external(cudaStream_t stream) {
  millrace::StreamLease ended;  // after the lock: its end may block
  const std::lock_guard lock(mutex_);
  if (const auto found = leases_.find(stream); found != leases_.end()) return found->second.stream();
  const auto kept = external_.find(stream);
  try {
    millrace::StreamLease lease = device_.wrap(stream);
    if (kept == external_.end()) return external_.emplace(stream, std::move(lease)).first->second.stream();
    ended = std::exchange(kept->second, std::move(lease));  // mostly one more lease of the same stream
    return kept->second.stream();
  } catch (const millrace::Error& error) {
    if (error.rule() != "captured-stream" || kept == external_.end()) throw;
    return kept->second.stream();
  }
}

bool TorchStreams::is_known(cudaStream_t stream) {
  if (stream == nullptr) return true;
  for (const Named& named : named_) {
    if (named.stream == stream && named.serial == serial_) return true;
  }
  const std::lock_guard lock(mutex_);
  return leases_.contains(stream);
}

cudaStream_t TorchStreams::handle_of(int number) {
  const std::lock_guard lock(mutex_);
  for (const Leases* leases : {&leases_, &external_}) {
    for (const auto& [handle, lease] : *leases) {
      if (lease.stream().id() == number) return handle;
    }
  }
  return nullptr;
}

void TorchStreams::forget(cudaStream_t stream) noexcept {
  external_memory_.forget(stream);
  millrace::StreamLease ended;  // as above
  const std::lock_guard lock(mutex_);
  for (Leases* leases : {&leases_, &external_}) {
    const auto found = leases->find(stream);
    if (found == leases->end()) continue;
    ended = std::move(found->second);
    leases->erase(found);
  }
  // release: pairs with the acquire in of.
  epoch_.fetch_add(1, std::memory_order_release);
}

}  // namespace millrace_torch
