#include "capture_reuse.h"

#include <c10/cuda/CUDAException.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <unordered_set>

namespace millrace_torch {
namespace {

/// What is being captured of a stream.
struct Captured {
  bool active = false;
  unsigned long long id = 0;
  std::vector<cudaGraphNode_t> last = {};
  bool is(unsigned long long capture) const noexcept { return active && id == capture; }
};

Captured captured(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  Captured found;
  cudaGraph_t graph = nullptr;
  const cudaGraphNode_t* last = nullptr;
  std::size_t count = 0;
#if CUDART_VERSION >= 13000
  C10_CUDA_CHECK(cudaStreamGetCaptureInfo(stream, &status, &found.id, &graph, &last, nullptr, &count));
#else
  C10_CUDA_CHECK(cudaStreamGetCaptureInfo_v2(stream, &status, &found.id, &graph, &last, &count));
#endif
  if (status != cudaStreamCaptureStatusActive) return {};
  found.active = true;
  if (count != 0) found.last.assign(last, last + count);
  return found;
}

std::vector<cudaGraphNode_t> before(cudaGraphNode_t node) {
  const auto ask = [node](cudaGraphNode_t* nodes, [[maybe_unused]] cudaGraphEdgeData* data,
                          std::size_t* count) {
#if CUDART_VERSION >= 13000
    C10_CUDA_CHECK(cudaGraphNodeGetDependencies(node, nodes, data, count));
#else
    C10_CUDA_CHECK(cudaGraphNodeGetDependencies(node, nodes, count));
#endif
  };
  std::size_t count = 0;
  ask(nullptr, nullptr, &count);
  std::vector<cudaGraphNode_t> nodes(count);
  // Edges may carry data, which the call refuses to leave out.
  std::vector<cudaGraphEdgeData> data(count);
  if (count != 0) ask(nodes.data(), data.data(), &count);
  return nodes;
}

/// These nodes and all that come before them.
std::unordered_set<cudaGraphNode_t> all_before(std::vector<cudaGraphNode_t> nodes) {
  std::unordered_set<cudaGraphNode_t> seen;
  while (!nodes.empty()) {
    const cudaGraphNode_t node = nodes.back();
    nodes.pop_back();
    if (!seen.insert(node).second) continue;
    for (const cudaGraphNode_t earlier : before(node)) nodes.push_back(earlier);
  }
  return seen;
}

}  // namespace

void CaptureReuse::count() {
  count_.store(blocks_.size(), std::memory_order_release);  // release: pairs with the acquire in any
}

void CaptureReuse::note(void* address, cudaStream_t stream) {
  const Captured now = captured(stream);
  if (!now.active) return;
  const std::lock_guard lock(mutex_);
  blocks_.insert_or_assign(address, Block{.stream = stream, .capture = now.id});
  count();
}

bool CaptureReuse::record(void* address, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end() || !captured(stream).is(found->second.capture)) return false;
  std::vector<cudaStream_t>& uses = found->second.uses;
  if (stream != found->second.stream && std::ranges::find(uses, stream) == uses.end()) uses.push_back(stream);
  return true;
}

bool CaptureReuse::free(void* address) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end()) return false;
  Block& block = found->second;
  TORCH_CHECK(!block.freed, "invalid device pointer: ", address, ": it was freed already");
  if (block.uses.empty() || !captured(block.stream).is(block.capture)) {
    blocks_.erase(found);
    count();
    return false;
  }
  block.freed = true;
  block.uses.push_back(block.stream);
  for (const cudaStream_t stream : block.uses) {
    const Captured at = captured(stream);
    block.until_the_end = block.until_the_end || !at.is(block.capture);
    block.behind.insert(block.behind.end(), at.last.begin(), at.last.end());
  }
  return true;
}

std::vector<void*> CaptureReuse::take_ordered(cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  std::vector<void*> ordered;
  const auto waits = [&](const Block& block) {
    return block.stream == stream && block.freed && !block.until_the_end;
  };
  if (std::ranges::none_of(blocks_, [&](const auto& entry) { return waits(entry.second); })) return ordered;
  const Captured now = captured(stream);
  const std::unordered_set<cudaGraphNode_t> done = all_before(now.last);
  std::erase_if(blocks_, [&](const auto& entry) {
    const Block& block = entry.second;
    const bool is_ordered =
        waits(block) && now.is(block.capture) &&
        std::ranges::all_of(block.behind, [&](cudaGraphNode_t node) { return done.contains(node); });
    if (is_ordered) ordered.push_back(entry.first);
    return is_ordered;
  });
  count();
  return ordered;
}

std::vector<void*> CaptureReuse::take_ended() {
  const std::lock_guard lock(mutex_);
  std::vector<void*> freed;
  std::erase_if(blocks_, [&](const auto& entry) {
    const Block& block = entry.second;
    if (captured(block.stream).is(block.capture)) return false;
    if (block.freed) freed.push_back(entry.first);
    return true;
  });
  count();
  return freed;
}

}  // namespace millrace_torch
