#include "allocators.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <torch/csrc/cuda/CUDAPluggableAllocator.h>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "ceiling.h"
#include "millrace_torch/cuda.h"
#include "open.h"

namespace millrace_torch::bench {
namespace {

using Shared = std::shared_ptr<c10::cuda::CUDACachingAllocator::CUDAAllocator>;

void install(Shared allocator) {
  // torch frees until its end.
  static auto* const kept = new Shared;
  *kept = std::move(allocator);
  torch::cuda::CUDAPluggableAllocator::changeCurrentAllocator(*kept);
  c10::SetAllocator(c10::kCUDA, kept->get(), 1);
}

/// The peer of this name. Adds the names of the others to them.
const millrace_peer* find_peer(const std::string& name, const std::string& folder, std::string& others) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    if (entry.path().extension() != ".so") continue;
    std::string why;
    const millrace_peer* const* peer = millrace::peers::open_library(entry.path(), why);
    if (peer == nullptr) others += "; " + why;
    for (; peer != nullptr && *peer != nullptr; ++peer) {
      if ((*peer)->name == name) return *peer;
      others += ", " + std::string((*peer)->name);
    }
  }
  return nullptr;
}

void install_peer(const millrace_peer& peer) {
  char reason[512] = "";
  void* const self = peer.create(0, 0, reason, sizeof reason);
  if (self == nullptr) throw std::invalid_argument("there is no " + std::string(peer.name) + ": " + reason);
  const auto entered = [&peer, self] {
    thread_local bool has_entered = false;
    if (has_entered) return;
    peer.enter(self);
    has_entered = true;
  };
  install(torch::cuda::CUDAPluggableAllocator::createCustomAllocator(
      [&peer, self, entered](std::size_t bytes, int, cudaStream_t stream) {
        entered();
        void* const address = peer.allocate(self, stream, bytes);
        TORCH_CHECK_WITH(OutOfMemoryError, address != nullptr, peer.name, " has no ", bytes, " bytes");
        return address;
      },
      [&peer, self, entered](void* address, std::size_t bytes, int, cudaStream_t stream) {
        entered();
        peer.release(self, stream, address, bytes);
      }));
}

}  // namespace

void choose_allocator(const std::string& name, const std::string& peers) {
  if (name == "stock") return;
  if (name == "millrace") return install_cuda_allocator();
  if (name == "ceiling") return install(std::make_shared<CeilingAllocator>());
  std::string others = "stock, millrace, ceiling";
  const millrace_peer* const peer = peers.empty() ? nullptr : find_peer(name, peers, others);
  if (peer == nullptr) {
    throw std::invalid_argument("there is no allocator " + name + "; there are " + others +
                                (peers.empty() ? ", and others with --peers" : ""));
  }
  install_peer(*peer);
}

}  // namespace millrace_torch::bench
