// The words of tickets.h: a variable on the device, since those are 0 from the start.
#include "backends/cuda/reduce/ticket_words.h"

#include <cuda_runtime.h>

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {
namespace {

__device__ alignas(16) unsigned words[kTicketSets * kMostSplitTiles];

}  // namespace

unsigned* ticket_words(int set) noexcept {
  void* address = nullptr;
  if (cudaGetSymbolAddress(&address, words) != cudaSuccess) return nullptr;
  return static_cast<unsigned*>(address) + set * kMostSplitTiles;
}

}  // namespace millrace::cuda
