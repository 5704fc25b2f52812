#include "runtime/workers.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

namespace interleave {

Workers::Workers(unsigned count) : count_(std::clamp(count, 1U, kMost)) {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  shared_ = new (memory) Shared();
}

Workers::~Workers() {
  munmap(shared_, sizeof(Shared));
}

unsigned Workers::start() {
  std::fflush(nullptr);  // else what is buffered is written by each
  for (unsigned i = 1; i < count_; ++i) {
    const pid_t child = fork();
    if (child < 0) {
      count_ = i;  // before it the others can't have taken themselves for the last
      break;
    }
    if (child == 0) {
      number_ = i;
      children_.clear();
      return i;
    }
    children_.push_back(child);
  }
  return 0;
}

void Workers::leave() {
  _exit(0);
}

bool Workers::wait() {
  bool well = true;
  for (const int child : children_) {
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) well = false;
  }
  return well;
}

Counts Workers::total() const noexcept {
  Counts sum;
  for (unsigned i = 0; i < count_; ++i) {
    const Counts& one = shared_->counts[i];
    sum.executions += one.executions;
    sum.blocked += one.blocked;
    sum.bounded += one.bounded;
    sum.race = sum.race || one.race;
    sum.too_long = sum.too_long || one.too_long;
    sum.cut_off = sum.cut_off || one.cut_off;
  }
  return sum;
}

void Workers::give(Stack& stack, std::size_t (*size_of)(const std::byte*)) noexcept {
  const std::byte* graph = stack.oldest();
  const std::size_t bytes = size_of(graph);
  if (bytes > kSlotBytes) return;
  for (Slot& slot : shared_->slots) {
    int empty = kEmpty;
    // acquire: pairs with the release in take, so that what was read there has been.
    if (!slot.state.compare_exchange_strong(empty, kWriting, std::memory_order_acquire,
                                            std::memory_order_relaxed))
      continue;
    std::memcpy(slot.graph, graph, bytes);
    slot.bytes = bytes;
    slot.state.store(kWritten, std::memory_order_release);  // pairs with the acquire in take
    stack.drop_oldest(bytes);
    return;
  }
}

bool Workers::all_empty() const noexcept {
  return std::all_of(std::begin(shared_->slots), std::end(shared_->slots),
                     [](const Slot& slot) { return slot.state.load(std::memory_order_seq_cst) == kEmpty; });
}

bool Workers::take(Stack& stack) {
  if (count_ == 1) return false;
  shared_->hungry.fetch_add(1, std::memory_order_seq_cst);
  for (;;) {
    if (stopping()) return false;
    for (Slot& slot : shared_->slots) {
      if (slot.state.load(std::memory_order_relaxed) != kWritten) continue;
      // No longer hungry before the slot is empty: whoever sees all hungry and all slots empty is right that
      // there is nothing left.
      shared_->hungry.fetch_sub(1, std::memory_order_seq_cst);
      int written = kWritten;
      if (slot.state.compare_exchange_strong(written, kWriting, std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
        std::byte* room = stack.push(slot.bytes);
        if (room != nullptr) std::memcpy(room, slot.graph, slot.bytes);
        slot.state.store(kEmpty, std::memory_order_seq_cst);
        return room != nullptr;
      }
      shared_->hungry.fetch_add(1, std::memory_order_seq_cst);
    }
    if (shared_->hungry.load(std::memory_order_seq_cst) == count_ && all_empty()) return false;
    usleep(20);
  }
}

void Workers::fail(const std::string& script) noexcept {
  int none = kEmpty;
  if (shared_->failure.compare_exchange_strong(none, kWriting, std::memory_order_acq_rel)) {
    const std::size_t length = std::min(script.size(), sizeof(shared_->script) - 1);
    std::memcpy(shared_->script, script.data(), length);
    shared_->failure.store(kWritten, std::memory_order_release);  // pairs with the acquire in failed
  }
  stop();
}

}  // namespace interleave
