// The allocators of bench alloc, each as one thread uses it: allocate, and release with the size it had.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>

#include <millrace/device.h>

#include "bench/peer_library.h"

namespace millrace::tool {

/// Ours, on the calling thread's own stream.
struct OwnStreamBlocks {
  Device& device;
  void* allocate(std::size_t bytes) const { return device.allocate(bytes); }
  void release(void* address, std::size_t) const { device.deallocate(address); }
};

/// Ours, on a stream that is named.
struct NamedStreamBlocks {
  Device& device;
  Stream stream;
  void* allocate(std::size_t bytes) const { return device.allocate(stream, bytes); }
  void release(void* address, std::size_t) const { device.deallocate(address); }
};

struct GlibcBlocks {
  void* allocate(std::size_t bytes) const { return std::malloc(bytes); }
  void release(void* address, std::size_t) const { std::free(address); }
};

/// mimalloc, opened by name: linked in, its shared library would replace malloc and there would be no
/// glibc to compare with.
struct MimallocBlocks {
  void* (*malloc)(std::size_t) = nullptr;
  void (*free)(void*) = nullptr;
  void* allocate(std::size_t bytes) const { return malloc(bytes); }
  void release(void* address, std::size_t) const { free(address); }
};

/// Null where it is not installed.
std::unique_ptr<MimallocBlocks> find_mimalloc();

/// A peer's, on one of its streams.
struct PeerBlocks {
  const PeerAllocator& peer;
  void* stream;
  void* allocate(std::size_t bytes) const { return peer.allocate(stream, bytes); }
  void release(void* address, std::size_t bytes) const { peer.release(stream, address, bytes); }
};

}  // namespace millrace::tool
