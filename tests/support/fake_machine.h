// What the driver that plays a device knows of its memory, streams and graphs.
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "support/fake_cuda.h"
#include "support/fake_stream.h"

namespace millrace::test {

struct Physical {
  std::size_t bytes = 0;
  CUdevice device = 0;
};
struct Mapping {
  Physical memory;
  std::set<CUdevice> accessible;  // to these
};

/// What all functions of the driver share.
struct Machine {
  std::atomic<std::size_t> calls{0};
  std::atomic<std::size_t> dead_handles{0};  // given for a stream
  std::atomic<std::size_t> questions{0};     // of what an address is
  std::atomic<CUresult> answer{CUDA_SUCCESS};
  std::atomic<std::size_t> events{0};
  int devices = 1;
  std::size_t memory_bytes = 0;
  FakeStreams streams;
  std::map<std::uintptr_t, std::shared_ptr<FakeGraph>> graphs;  // by handle, those that can be launched too
  std::uintptr_t next_graph = 1;

  std::mutex mutex;
  std::size_t used = 0;                             // physical memory
  std::size_t taken = 0;                            // by others
  std::map<CUdeviceptr, std::size_t> reservations;  // bytes by base
  std::map<unsigned long long, Physical> physical;  // by handle
  std::map<CUdeviceptr, Mapping> mappings;          // by address
  std::map<CUdeviceptr, Physical> allocations;      // the driver's own, by address
  std::set<std::pair<CUdevice, CUdevice>> peers;    // whose allocations the second device may touch
  std::map<CUdeviceptr, std::size_t> registered;    // host memory: bytes by base
  unsigned long long next_handle = 1;
  std::map<FakeCall, std::function<void()>> interruptions;  // before the next call of a kind
  std::map<CUdevice_attribute, int> attributes;             // that are not the usual ones

  void interrupt(FakeCall call) {
    std::function<void()> happens;
    {
      const std::lock_guard lock(mutex);
      happens = std::exchange(interruptions[call], nullptr);
    }
    if (happens) happens();
  }
  bool is_device(CUdeviceptr address) {
    const std::lock_guard lock(mutex);
    if (allocation_of(address) != nullptr) return true;
    auto found = reservations.upper_bound(address);
    if (found == reservations.begin()) return false;
    --found;
    return address - found->first < found->second;
  }
  /// What of a range of host memory is registered.
  enum class Registered { none, whole, part };
  Registered registered_part(CUdeviceptr address, std::size_t bytes) {
    const std::lock_guard lock(mutex);
    auto found = registered.upper_bound(address);
    const bool reaches_next = found != registered.end() && found->first < address + bytes;
    if (found == registered.begin()) return reaches_next ? Registered::part : Registered::none;
    --found;
    const std::size_t offset = address - found->first;
    if (offset >= found->second) return reaches_next ? Registered::part : Registered::none;
    return bytes <= found->second - offset ? Registered::whole : Registered::part;
  }
  /// Null for what is none of the driver's own allocations; the mutex is held.
  const Physical* allocation_of(CUdeviceptr address) const {
    auto found = allocations.upper_bound(address);
    if (found == allocations.begin()) return nullptr;
    --found;
    return address - found->first < found->second.bytes ? &found->second : nullptr;
  }
  /// Null for memory that is not mapped; the mutex is held.
  const Mapping* mapping_of(CUdeviceptr address) const {
    auto found = mappings.upper_bound(address);
    if (found == mappings.begin()) return nullptr;
    --found;
    return address - found->first < found->second.memory.bytes ? &found->second : nullptr;
  }
  bool may_touch(CUdevice device, CUdeviceptr address) {
    const std::lock_guard lock(mutex);
    return may_touch_locked(device, address);
  }
  bool may_touch_locked(CUdevice device, CUdeviceptr address) const {
    if (const Physical* const allocation = allocation_of(address))
      return allocation->device == device || peers.contains({allocation->device, device});
    const Mapping* const mapping = mapping_of(address);
    return mapping == nullptr || mapping->accessible.contains(device);
  }
  /// Whose memory it is; -2: nobody's.
  CUdevice owner_of(CUdeviceptr address) const {
    if (const Physical* const allocation = allocation_of(address)) return allocation->device;
    const Mapping* const mapping = mapping_of(address);
    return mapping == nullptr ? -2 : mapping->memory.device;
  }
};

// Never destroyed: devices may be closed by static destructors.
inline Machine& machine() {
  static Machine* const once = new Machine;
  return *once;
}

}  // namespace millrace::test
