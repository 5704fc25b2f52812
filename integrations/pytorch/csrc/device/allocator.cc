#include "device/allocator.h"

#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "device/in_operator.h"
#include "device/streams.h"

namespace millrace_torch {
namespace {

using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingAllocator::StatType;

/// What still uses it is waited for before the memory is anybody's again.
void free_after_all_streams(c10::DeviceIndex index, void* address) noexcept {
  try {
    record_use_on_all(index, address);
    device_of(index).deallocate(address);
  } catch (const std::exception&) {
    // It was no tensor's, or is free already; that has been said.
  }
}

template <int index>
void free_on(void* address) {
  if (address == nullptr) return;
  // A tensor may be freed by any thread at any time, after a fork too; then this does nothing.
  try {
    device_of(index).deallocate(address);
  } catch (const millrace::Error&) {
    // Another stream's work uses it, which the program may have ordered in a way that the runtime has not
    // seen; in protect mode it does see that, and takes the free.
    free_after_all_streams(index, address);
  }
}

template <int... index>
constexpr auto make_deleters(std::integer_sequence<int, index...>) {
  return std::array<c10::DeleterFnPtr, sizeof...(index)>{&free_on<index>...};
}
constexpr auto kDeleters = make_deleters(std::make_integer_sequence<int, 16>());

/// What was counted when somebody began to count anew; ours only grow.
struct Base {
  std::uint64_t allocations = 0, frees = 0, allocated_bytes = 0, freed_bytes = 0;
  std::uint64_t heaps_created = 0, heaps_released = 0, out_of_memory = 0;
};

void set(StatArray& array, std::int64_t now, std::int64_t peak, std::uint64_t up, std::uint64_t down) {
  Stat& stat = array[static_cast<std::size_t>(StatType::AGGREGATE)];
  stat.current = now;
  stat.peak = peak;
  stat.allocated = static_cast<std::int64_t>(up);
  stat.freed = static_cast<std::int64_t>(down);
}

class DeviceMemory final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::DeviceIndex index = current_device();
    const c10::Device device(kMillrace, index);
    if (bytes == 0) return {nullptr, nullptr, raw_deleter_of(index), device};
    void* const address = translated([&] { return allocate_on(index, bytes); });
    return {address, address, raw_deleter_of(index), device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return raw_deleter_of(current_device()); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    OperatorStream& stream = current_stream(-1);
    translated([&] { millrace::Stream(stream.get()).copy(to, from, bytes); });
    stream.commit();
  }

  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {
    for (int i = 0; i < device_count(); ++i) {
      const auto index = static_cast<c10::DeviceIndex>(i);
      if (is_open(index)) translated([&] { device_of(index).trim(); });
    }
  }
  void recordStream(const c10::DataPtr& pointer, c10::Stream stream) override {
    if (pointer.get() == nullptr) return;
    const auto on = stream_of(stream);
    translated([&] { device_of(pointer.device().index()).record_stream(pointer.get(), on->get()); });
  }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex index) override;
  void resetAccumulatedStats(c10::DeviceIndex index) override {
    const millrace::MemoryStats now = translated([&] { return device_of(index).memory(); });
    const std::lock_guard lock(mutex_);
    bases_[index] = base_of(now);
  }
  void resetPeakStats(c10::DeviceIndex index) override {
    translated([&] { device_of(index).reset_peaks(); });
  }
  std::pair<std::size_t, std::size_t> getMemoryInfo(c10::DeviceIndex index) override {
    const millrace::MemoryStats now = translated([&] { return device_of(index).memory(); });
    return {now.limit - now.committed, now.limit};
  }

 private:
  static void* allocate_on(c10::DeviceIndex index, std::size_t bytes) {
    const InOperator in_operator;  // storage is asked for outside of operators, too, and has to be counted
    const AskedOnce once;
    return device_of(index).allocate(current_stream(index).get(), bytes, kAlignment);
  }

  static constexpr std::size_t kAlignment = millrace::kDefaultAlignment;
  static c10::DeleterFnPtr raw_deleter_of(c10::DeviceIndex index) {
    return kDeleters[static_cast<std::size_t>(index)];
  }
  static Base base_of(const millrace::MemoryStats& now) {
    return {now.allocations,   now.frees,          now.allocated_bytes, now.freed_bytes,
            now.heaps_created, now.heaps_released, now.out_of_memory};
  }

  std::mutex mutex_;
  std::map<c10::DeviceIndex, Base> bases_;  // protected by mutex_
};

c10::CachingDeviceAllocator::DeviceStats DeviceMemory::getDeviceStats(c10::DeviceIndex index) {
  const millrace::MemoryStats now = translated([&] { return device_of(index).memory(); });
  Base base;
  {
    const std::lock_guard lock(mutex_);
    base = bases_[index];
  }
  const auto number = [](std::uint64_t n) { return static_cast<std::int64_t>(n); };
  c10::CachingDeviceAllocator::DeviceStats stats;
  const std::int64_t blocks = number(now.allocations - now.frees);
  // How many there were at most is not counted; at least as many as now.
  set(stats.allocation, blocks, blocks, now.allocations - base.allocations, now.frees - base.frees);
  set(stats.active, blocks, blocks, now.allocations - base.allocations, now.frees - base.frees);
  set(stats.allocated_bytes, number(now.live), number(now.peak_live),
      now.allocated_bytes - base.allocated_bytes, now.freed_bytes - base.freed_bytes);
  set(stats.requested_bytes, number(now.live), number(now.peak_live),
      now.allocated_bytes - base.allocated_bytes, now.freed_bytes - base.freed_bytes);
  set(stats.active_bytes, number(now.live + now.pending), number(now.peak_live),
      now.allocated_bytes - base.allocated_bytes, now.freed_bytes - base.freed_bytes);
  const std::int64_t heaps = number(now.heaps_created - now.heaps_released);
  set(stats.segment, heaps, heaps, now.heaps_created - base.heaps_created,
      now.heaps_released - base.heaps_released);
  set(stats.reserved_bytes, number(now.committed), number(now.peak_committed), 0, 0);
  stats.num_ooms = number(now.out_of_memory - base.out_of_memory);
  stats.num_device_alloc = number(now.heaps_created - base.heaps_created);
  stats.num_device_free = number(now.heaps_released - base.heaps_released);
  return stats;
}

class PinnedMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::DeviceIndex index = current_device();
    if (bytes == 0)
      return {nullptr, nullptr, kDeleters[static_cast<std::size_t>(index)], c10::Device(c10::kCPU)};
    OperatorStream& stream = current_stream(index);
    void* const address = translated([&] { return device_of(index).allocate_pinned(stream.get(), bytes); });
    {
      const std::lock_guard lock(mutex_);
      live_[reinterpret_cast<std::uintptr_t>(address)] = {bytes, index};
    }
    return {address, address, &PinnedMemory::free, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &PinnedMemory::free; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  bool contains(const void* address) {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    const std::lock_guard lock(mutex_);
    auto after = live_.upper_bound(at);
    if (after == live_.begin()) return false;
    const auto& [begin, range] = *std::prev(after);
    return at - begin < range.bytes;
  }

 private:
  static void free(void* address);

  struct Range {
    std::size_t bytes;
    c10::DeviceIndex device;
  };
  std::mutex mutex_;
  std::map<std::uintptr_t, Range> live_;  // protected by mutex_
};

PinnedMemory& pinned_memory() {
  static auto* const memory =
      new PinnedMemory;  // tensors in static variables are freed after everything else
  return *memory;
}

void PinnedMemory::free(void* address) {
  if (address == nullptr) return;
  PinnedMemory& memory = pinned_memory();
  c10::DeviceIndex device = 0;
  {
    const std::lock_guard lock(memory.mutex_);
    const auto found = memory.live_.find(reinterpret_cast<std::uintptr_t>(address));
    if (found == memory.live_.end()) return;
    device = found->second.device;
    memory.live_.erase(found);
  }
  kDeleters[static_cast<std::size_t>(device)](address);
}

}  // namespace

c10::DeviceAllocator& device_allocator() {
  static auto* const allocator = new DeviceMemory;
  return *allocator;
}

c10::Allocator& pinned_allocator() {
  return pinned_memory();
}

bool is_pinned(const void* address) {
  return pinned_memory().contains(address);
}

void resize_storage(const c10::Storage& storage, std::size_t bytes) {
  c10::StorageImpl* const impl = storage.unsafeGetStorageImpl();
  TORCH_CHECK(impl->resizable(), "the storage can't be resized: its memory is not its own");
  const c10::DeviceGuard guard(storage.device());
  c10::DataPtr grown = device_allocator().allocate(bytes);
  const std::size_t kept = std::min(bytes, storage.nbytes());
  if (kept != 0) {
    OperatorStream& stream = current_stream(storage.device().index());
    translated([&] { millrace::Stream(stream.get()).copy(grown.get(), storage.data(), kept); });
    stream.commit();
  }
  impl->set_data_ptr_noswap(std::move(grown));  // what was there is freed after the copy
  impl->set_nbytes(bytes);
}

}  // namespace millrace_torch
