#include "capture_reuse.h"

#include <c10/cuda/CUDAException.h>

#include <algorithm>
#include <unordered_set>

namespace millrace_torch {
namespace {

/// What is being captured of a stream.
struct Captured {
  cudaGraph_t graph = nullptr;  // null: nothing
  std::vector<cudaGraphNode_t> last;
};

Captured captured(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  Captured found;
  const cudaGraphNode_t* last = nullptr;
  std::size_t count = 0;
#if CUDART_VERSION >= 13000
  C10_CUDA_CHECK(
      cudaStreamGetCaptureInfo(stream, &status, nullptr, &found.graph, &last, nullptr, &count));
#else
  C10_CUDA_CHECK(cudaStreamGetCaptureInfo_v2(stream, &status, nullptr, &found.graph, &last, &count));
#endif
  if (status != cudaStreamCaptureStatusActive) return {};
  if (count != 0) found.last.assign(last, last + count);
  return found;
}

/// A node that whatever the stream does next comes after; null where it is not being captured.
cudaGraphNode_t mark(cudaStream_t stream) {
  const Captured at = captured(stream);
  if (at.graph == nullptr) return nullptr;
  cudaGraphNode_t node = nullptr;
  C10_CUDA_CHECK(cudaGraphAddEmptyNode(&node, at.graph, at.last.data(), at.last.size()));
#if CUDART_VERSION >= 13000
  C10_CUDA_CHECK(
      cudaStreamUpdateCaptureDependencies(stream, &node, nullptr, 1, cudaStreamSetCaptureDependencies));
#else
  C10_CUDA_CHECK(cudaStreamUpdateCaptureDependencies(stream, &node, 1, cudaStreamSetCaptureDependencies));
#endif
  return node;
}

std::vector<cudaGraphNode_t> before(cudaGraphNode_t node) {
  std::size_t count = 0;
#if CUDART_VERSION >= 13000
  C10_CUDA_CHECK(cudaGraphNodeGetDependencies(node, nullptr, nullptr, &count));
#else
  C10_CUDA_CHECK(cudaGraphNodeGetDependencies(node, nullptr, &count));
#endif
  std::vector<cudaGraphNode_t> nodes(count);
  if (count == 0) return nodes;
#if CUDART_VERSION >= 13000
  // Edges may carry data, which the call wants to hand out.
  std::vector<cudaGraphEdgeData> data(count);
  C10_CUDA_CHECK(cudaGraphNodeGetDependencies(node, nodes.data(), data.data(), &count));
#else
  C10_CUDA_CHECK(cudaGraphNodeGetDependencies(node, nodes.data(), &count));
#endif
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

void CaptureReuse::note(c10::MempoolId_t pool, void* address, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  blocks_.insert_or_assign(address, Block{.pool = pool, .stream = stream, .uses = {}, .behind = {}});
  count_.store(blocks_.size(), std::memory_order_release);  // release: pairs with any
}

bool CaptureReuse::record(void* address, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end() || captured(stream).graph == nullptr) return false;
  std::vector<cudaStream_t>& uses = found->second.uses;
  if (stream != found->second.stream && std::ranges::find(uses, stream) == uses.end()) uses.push_back(stream);
  return true;
}

bool CaptureReuse::free(void* address) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end()) return false;
  Block& block = found->second;
  if (!block.uses.empty()) {
    block.uses.push_back(block.stream);
    for (const cudaStream_t stream : block.uses) {
      if (const cudaGraphNode_t node = mark(stream)) block.behind.push_back(node);
    }
  }
  if (!block.behind.empty()) return true;
  blocks_.erase(found);  // without uses, or the capture is over
  count_.store(blocks_.size(), std::memory_order_release);  // release: as in note
  return false;
}

std::vector<void*> CaptureReuse::take_ordered(c10::MempoolId_t pool, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  std::vector<void*> ordered;
  const auto waits = [&](const Block& block) {
    return block.pool == pool && block.stream == stream && !block.behind.empty();
  };
  if (std::ranges::none_of(blocks_, [&](const auto& entry) { return waits(entry.second); })) return ordered;
  const std::unordered_set<cudaGraphNode_t> done = all_before(captured(stream).last);
  for (auto entry = blocks_.begin(); entry != blocks_.end();) {
    const Block& block = entry->second;
    if (waits(block) &&
        std::ranges::all_of(block.behind, [&](cudaGraphNode_t node) { return done.contains(node); })) {
      ordered.push_back(entry->first);
      entry = blocks_.erase(entry);
    } else {
      ++entry;
    }
  }
  count_.store(blocks_.size(), std::memory_order_release);  // release: as in note
  return ordered;
}

std::vector<void*> CaptureReuse::end(c10::MempoolId_t pool) {
  const std::lock_guard lock(mutex_);
  std::vector<void*> freed;
  std::erase_if(blocks_, [&](const auto& entry) {
    if (entry.second.pool != pool) return false;
    if (!entry.second.behind.empty()) freed.push_back(entry.first);
    return true;
  });
  count_.store(blocks_.size(), std::memory_order_release);  // release: as in note
  return freed;
}

}  // namespace millrace_torch
