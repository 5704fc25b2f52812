// What the peers on CUDA have in common: streams of the runtime, fills, an order between two streams. A peer
// is one source file, which includes this once.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <exception>

#include "peer.h"

extern "C" uint32_t millrace_peer_interface(void) {
  return MILLRACE_PEER_INTERFACE;
}

namespace millrace::peers {

inline const char* cuda_version() {
  static const struct Text {
    char text[32] = "";
    Text() {
      std::snprintf(text, sizeof text, "CUDA %d.%d", CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100);
    }
  } version;
  return version.text;
}

inline void explain(char* reason, std::size_t size, const char* what, cudaError_t error) {
  std::snprintf(reason, size, "%s: %s", what, cudaGetErrorString(error));
}

/// The most that a pool of the driver's had reserved.
inline std::uint64_t peak_reserved(cudaMemPool_t pool) {
  std::uint64_t bytes = 0;
  static_cast<void>(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemHigh, &bytes));
  return bytes;
}

/// The functions of a peer that are the same for all of them; Self has a public `int device`. None of them
/// throws.
template <typename Self>
struct CudaPeer {
  /// With room for the first fault.
  struct Held final : Self {
    using Self::Self;
    std::atomic<int> faults{0};
    char fault[512] = "";
  };
  /// Calls what may throw, and keeps the reason.
  template <typename Call>
  static void guard(void* self, Call&& call) {
    try {
      call();
    } catch (const std::exception& error) {
      auto* const held = static_cast<Held*>(self);
      // relaxed: looked at when nobody is in a call.
      if (held->faults.fetch_add(1, std::memory_order_relaxed) != 0) return;
      std::snprintf(held->fault, sizeof held->fault, "%s", error.what());
    }
  }
  static const char* fault(void* self) {
    const auto* const held = static_cast<const Held*>(self);
    return held->faults.load(std::memory_order_relaxed) != 0 ? held->fault : nullptr;
  }

  /// Makes a Self of the device and initial_bytes; it says by throwing why it can't be.
  static void* create(int device, std::uint64_t initial_bytes, char* reason, std::size_t size) {
    if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess) {
      explain(reason, size, "cudaSetDevice", error);
      return nullptr;
    }
    try {
      return new Held(device, initial_bytes);
    } catch (const std::exception& error) {
      std::snprintf(reason, size, "%s", error.what());
      return nullptr;
    }
  }
  static void destroy(void* self) {
    // Frees that are still queued come first: the memory goes back to the device.
    static_cast<void>(cudaDeviceSynchronize());
    delete static_cast<Held*>(self);
  }
  static void enter(void* self) { static_cast<void>(cudaSetDevice(static_cast<Self*>(self)->device)); }

  static void* open_stream(void*) {
    cudaStream_t stream = nullptr;
    return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess ? stream : nullptr;
  }
  static void close_stream(void*, void* stream) {
    static_cast<void>(cudaStreamDestroy(static_cast<cudaStream_t>(stream)));
  }

  static void* allocate(void* self, void* stream, std::size_t bytes) {
    try {
      return static_cast<Self*>(self)->allocate(static_cast<cudaStream_t>(stream), bytes);
    } catch (const std::exception&) {
      return nullptr;
    }
  }
  static void release(void* self, void* stream, void* address, std::size_t bytes) {
    guard(self,
          [&] { static_cast<Self*>(self)->release(static_cast<cudaStream_t>(stream), address, bytes); });
  }

  static void fill(void*, void* stream, void* address, int value, std::size_t bytes) {
    static_cast<void>(cudaMemsetAsync(address, value, bytes, static_cast<cudaStream_t>(stream)));
  }
  /// Where an allocator knows of one stream only, its user makes that stream wait for the other one.
  static void record_use(void*, void* stream, void* used_on, void*) {
    struct Event {
      cudaEvent_t event = nullptr;
      Event() { static_cast<void>(cudaEventCreateWithFlags(&event, cudaEventDisableTiming)); }
      ~Event() { static_cast<void>(cudaEventDestroy(event)); }
    };
    thread_local const Event mine;
    static_cast<void>(cudaEventRecord(mine.event, static_cast<cudaStream_t>(used_on)));
    static_cast<void>(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), mine.event, 0));
  }

  static std::uint64_t peak_committed(void* self) {
    std::uint64_t bytes = 0;
    guard(self, [&] { bytes = static_cast<Self*>(self)->peak_committed(); });
    return bytes;
  }

  static constexpr millrace_peer table(const char* name, const char* version,
                                       millrace_peer_role role = MILLRACE_PEER_ALLOCATOR) {
    return {name,         version,  "cuda",  role, create,     destroy,        enter, open_stream,
            close_stream, allocate, release, fill, record_use, peak_committed, fault};
  }
};

}  // namespace millrace::peers
