#include "runtime/raw_atomics.h"

#include "runtime/machine.h"

namespace interleave {

const detail::Cell& RawAtomics::cell(const void* address) {
  const Inside inside;
  return cells_[reinterpret_cast<std::uintptr_t>(address)];
}

void RawAtomics::overwritten(const void* address, std::size_t bytes) {
  if (cells_.empty()) return;
  const auto begin = reinterpret_cast<std::uintptr_t>(address);
  for (auto at = cells_.lower_bound(begin); at != cells_.end() && at->first < begin + bytes; ++at) {
    if (running_machine->in_use(at->second)) {
      running_machine->construct(at->second, {});
    }
  }
}

RawAtomics& raw_atomics() {
  static RawAtomics atomics;
  return atomics;
}

}  // namespace interleave
