#include "pools.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>

#include "allocator.h"
#include "errors.h"

namespace millrace_torch {
namespace {

std::string named(c10::MempoolId_t id) {
  return "(" + std::to_string(id.first) + ", " + std::to_string(id.second) + ")";
}

/// Has it a segment that nobody uses?
bool keeps_free_memory(const millrace::MemoryPool& pool) {
  return std::ranges::any_of(pool.segments(), [](const millrace::MemorySegment& segment) {
    return std::ranges::all_of(segment.blocks, [](const millrace::MemoryBlock& block) {
      return block.state != millrace::MemoryState::live;
    });
  });
}

/// The device is done, but the core's threads may not have seen that yet.
void give_back(const millrace::MemoryPool& pool) {
  constexpr std::chrono::milliseconds kLongest{1000};
  constexpr std::chrono::microseconds kPause{50};
  pool.drop_user();
  const auto until = std::chrono::steady_clock::now() + kLongest;
  while (keeps_free_memory(pool) && std::chrono::steady_clock::now() < until) {
    if (pool.trim() == 0) std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

Pools::Pool& Pools::find(c10::MempoolId_t id) {
  const auto found = pools_.find(id);
  TORCH_CHECK(found != pools_.end(), "there is no memory pool ", named(id),
              " on cuda:", static_cast<int>(index_), ": it was released, or nothing was ever begun with it");
  return found->second;
}

void* Pools::allocate(std::size_t bytes, cudaStream_t stream, bool is_torchs) {
  std::optional<c10::MempoolId_t> chosen;
  {
    const std::shared_lock lock(begun_mutex_);
    const auto found = std::find_if(begun_.rbegin(), begun_.rend(),
                                    [&](const Begun& begun) { return begun.filter(stream); });
    if (found != begun_.rend()) chosen = found->id;
  }
  if (!chosen) return nullptr;
  const millrace::MemoryPool pool = core_pool(*chosen);
  const bool reuses = CaptureReuse::is_wanted();
  if (reuses) free_all(reuse_.take_ordered(stream));
  void* const address = pool.allocate(is_torchs ? streams_.of(stream) : streams_.of_external(stream), bytes);
  if (reuses) reuse_.note(address, stream);
  return address;
}

void Pools::free_all(const std::vector<void*>& blocks) {
  for (void* const block : blocks) device_.deallocate(block);
}

void Pools::add_user(c10::MempoolId_t id, TorchSegments::Allocator allocator) {
  const std::lock_guard lock(mutex_);
  Pool& pool = pools_[id];
  TORCH_CHECK(allocator == nullptr || pool.users == 0, "the pool ", named(id),
              " exists already, and an allocator can be given to a new one only");
  if (allocator != nullptr) pool.options.source = std::make_shared<TorchSegments>(std::move(allocator));
  ++pool.users;
}

void Pools::drop_user(c10::MempoolId_t id) {
  const std::lock_guard lock(mutex_);
  Pool& pool = find(id);
  if (--pool.users != 0) return;
  if (pool.core) unused_.push_back(*pool.core);
  pools_.erase(id);
}

int Pools::users(c10::MempoolId_t id) {
  const std::lock_guard lock(mutex_);
  return find(id).users;
}

void Pools::begin(c10::MempoolId_t id, Filter filter) {
  const millrace::Stream captured = before_capture(filter);
  const std::unique_lock lock(begun_mutex_);
  TORCH_CHECK(std::ranges::none_of(begun_, [&](const Begun& begun) { return begun.id == id; }),
              "beginAllocateToPool: already recording to mempool_id ", named(id));
  add_user(id);
  begun_.push_back({id, std::move(filter), captured});
  begun_count_.store(begun_.size(), std::memory_order_release);  // release: pairs with any_begun
}

millrace::Stream Pools::before_capture(const Filter& filter) {
  const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream(index_);
  try {
    const millrace::Stream stream = streams_.of_any(current);
    // A MemPool's filter takes what its thread allocates; a capture's takes nothing before the capture has
    // begun, which it does next.
    if (filter(current.stream())) return {};
    stream.expect_capture();
    return stream;
  } catch (const millrace::Error&) {
    return {};  // it is captured already: the first allocation on it says so, if there is one
  }
}

void Pools::end(c10::MempoolId_t id) {
  millrace::Stream captured;
  {
    const std::unique_lock lock(begun_mutex_);
    const auto found = std::ranges::find(begun_, id, &Begun::id);
    TORCH_CHECK(found != begun_.end(), "endAllocatePool: not currently recording to mempool_id ", named(id));
    captured = found->captured;
    begun_.erase(found);
    begun_count_.store(begun_.size(), std::memory_order_release);  // release: as in begin
  }
  if (captured.valid()) {
    try {
      captured.capture_over();
    } catch (const millrace::Error&) {
      // The stream was forgotten meanwhile.
    }
  }
  if (reuse_.any()) translated([&] { free_all(reuse_.take_ended()); });
}

void Pools::set_use_on_oom(c10::MempoolId_t id, bool use) {
  const std::lock_guard lock(mutex_);
  Pool& pool = find(id);
  pool.options.use_on_oom = use;
  if (pool.core) translated([&] { pool.core->set_use_on_oom(use); });
}

void Pools::set_no_split(c10::MempoolId_t id) {
  const std::lock_guard lock(mutex_);
  Pool& pool = find(id);
  TORCH_CHECK(!pool.core, "setNoSplit: memory was allocated from the pool ", named(id),
              " already; say it before that");
  pool.options.no_split = true;
}

bool Pools::wait_for_device() {
  // Nothing begins meanwhile: to wait for a device that captures is an error, and ends the capture.
  const std::shared_lock begun(begun_mutex_);
  if (!begun_.empty()) return false;
  const c10::cuda::CUDAGuard guard(index_);
  C10_CUDA_CHECK(cudaDeviceSynchronize());
  return true;
}

bool Pools::release_unused() {
  std::vector<millrace::MemoryPool> unused;
  {
    const std::lock_guard lock(mutex_);
    unused.swap(unused_);
  }
  if (unused.empty()) return false;
  if (!wait_for_device()) {
    const std::lock_guard lock(mutex_);
    std::ranges::move(unused, std::back_inserter(unused_));
    return false;
  }
  for (const millrace::MemoryPool& pool : unused) give_back(pool);
  return true;
}

millrace::MemoryPool Pools::core_pool(c10::MempoolId_t id) {
  millrace::MemoryPoolOptions options;
  {
    const std::lock_guard lock(mutex_);
    const Pool& pool = find(id);
    if (pool.core) return *pool.core;
    options = pool.options;
  }
  // Without the mutex: others' memory may go back meanwhile, and who is told of that asks here whose it was.
  const millrace::MemoryPool made = millrace::MemoryPool::create(device_, options);
  know(id, options.source != nullptr, made);
  {
    const std::lock_guard lock(mutex_);
    const auto found = pools_.find(id);
    if (found != pools_.end()) {
      Pool& pool = found->second;
      if (!pool.core) {
        pool.core = made;
        if (pool.options.use_on_oom != options.use_on_oom) made.set_use_on_oom(pool.options.use_on_oom);
      }
      if (*pool.core == made) return made;
    }
  }
  made.drop_user();  // another thread was first, or torch has released the pool
  const std::lock_guard lock(mutex_);
  return find(id).core.value();
}

void Pools::know(c10::MempoolId_t id, bool has_allocator, const millrace::MemoryPool& core) {
  std::vector<millrace::MemoryPool> left;
  {
    const std::lock_guard lock(known_mutex_);
    known_.try_emplace(core.number(), Known{id, has_allocator, core});
    if (known_.size() < look_again_at_) return;
    for (const auto& [number, known] : known_) left.push_back(known.core);
  }
  std::erase_if(
      left, [](const millrace::MemoryPool& pool) { return pool.users() != 0 || !pool.segments().empty(); });
  const std::lock_guard lock(known_mutex_);
  for (const millrace::MemoryPool& gone : left) known_.erase(gone.number());
  look_again_at_ = std::max(kFewPools, 2 * known_.size());
}

bool Pools::has_allocator(std::uint64_t number) {
  if (number == 0) return false;
  const std::lock_guard lock(known_mutex_);
  const auto found = known_.find(number);
  return found != known_.end() && found->second.has_allocator;
}

c10::MempoolId_t Pools::id_of(std::uint64_t number) {
  if (number == 0) return {0, 0};
  const std::lock_guard lock(known_mutex_);
  const auto found = known_.find(number);
  return found == known_.end() ? c10::MempoolId_t{0, 0} : found->second.id;
}

// What torch calls.

void CudaAllocator::beginAllocateToPool(c10::DeviceIndex index, MempoolId_t pool,
                                        std::function<bool(cudaStream_t)> filter) {
  memory_of(index).pools().begin(pool, std::move(filter));
}

void CudaAllocator::endAllocateToPool(c10::DeviceIndex index, MempoolId_t pool) {
  memory_of(index).pools().end(pool);
}

void CudaAllocator::releasePool(c10::DeviceIndex index, MempoolId_t pool) {
  memory_of(index).pools().drop_user(pool);
}

int CudaAllocator::getPoolUseCount(c10::DeviceIndex index, MempoolId_t pool) {
  return memory_of(index).pools().users(pool);
}

void CudaAllocator::createOrIncrefPool(c10::DeviceIndex index, MempoolId_t pool,
                                       std::shared_ptr<caching::CUDAAllocator> allocator) {
  memory_of(index).pools().add_user(pool, std::move(allocator));
}

void CudaAllocator::setUseOnOOM(c10::DeviceIndex index, MempoolId_t pool, bool use_on_oom) {
  memory_of(index).pools().set_use_on_oom(pool, use_on_oom);
}

void CudaAllocator::setNoSplit(c10::DeviceIndex index, MempoolId_t pool) {
  memory_of(index).pools().set_no_split(pool);
}

}  // namespace millrace_torch
