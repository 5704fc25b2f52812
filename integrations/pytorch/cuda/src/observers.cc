#include "observers.h"

#include <c10/core/Allocator.h>
#include <c10/core/impl/GPUTrace.h>

#include <utility>

namespace millrace_torch {

using c10::CachingDeviceAllocator::RecordContext;
using c10::CachingDeviceAllocator::TraceEntry;

void Observers::on_allocate(DeviceMemory& memory, void* address, std::size_t requested, cudaStream_t stream) {
  // With no lock held: what gathers a stack may need the interpreter's.
  auto context = history_.gather(RecordContext::STATE);
  history_.add_live(memory.index(), address, {requested, stream, std::move(context)});
}

void Observers::on_free(DeviceMemory& memory, void* address) {
  auto context = history_.gather(RecordContext::ALL);
  history_.remove_live(memory.index(), address, memory.size_of(address), std::move(context));
}

void Observers::on_restored_free(DeviceMemory& memory, void* address) {
  history_.remove_live(memory.index(), address, 0, history_.gather(RecordContext::ALL));
}

void Observers::on_out_of_memory(DeviceMemory& memory, std::size_t requested, cudaStream_t stream,
                                 std::size_t limit, std::size_t device_free) {
  if (any()) {
    auto context = history_.gather(RecordContext::STATE);
    history_.add(memory.index(), TraceEntry::OOM, device_free, requested, stream, std::move(context));
  }
  std::vector<c10::cuda::CUDACachingAllocator::OutOfMemoryObserver> observers;
  {
    const std::lock_guard lock(mutex_);
    observers = out_of_memory_;
  }
  for (const auto& observer : observers) observer(memory.index(), requested, limit, device_free);
}

void Observers::attach(c10::cuda::CUDACachingAllocator::OutOfMemoryObserver observer) {
  const std::lock_guard lock(mutex_);
  out_of_memory_.push_back(std::move(observer));
}

void report_to_profiler(DeviceMemory& memory, void* address, int sign) {
  const millrace::MemoryStats stats = memory.device().memory();
  const auto bytes = static_cast<std::int64_t>(memory.size_of(address));
  const std::size_t live = sign > 0 ? stats.live : stats.live - static_cast<std::size_t>(bytes);
  c10::reportMemoryUsageToProfiler(address, sign * bytes, live, stats.committed,
                                   c10::Device(c10::kCUDA, memory.index()));
}

void trace_allocation(void* address) {
  if (const c10::impl::PyInterpreter* const listener = c10::impl::GPUTrace::get_trace()) [[unlikely]]
    (*listener)->trace_gpu_memory_allocation(c10::kCUDA, reinterpret_cast<std::uintptr_t>(address));
}

void trace_deallocation(void* address) {
  if (const c10::impl::PyInterpreter* const listener = c10::impl::GPUTrace::get_trace()) [[unlikely]]
    (*listener)->trace_gpu_memory_deallocation(c10::kCUDA, reinterpret_cast<std::uintptr_t>(address));
}

}  // namespace millrace_torch
