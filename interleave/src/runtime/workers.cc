#include "runtime/workers.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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
  stop();
  reap(0);
  munmap(shared_, sizeof(Shared));
}

unsigned Workers::start() {
  std::fflush(nullptr);  // else what is buffered is written by each
  const pid_t first = getpid();
  for (unsigned i = 1; i < count_; ++i) {
    const pid_t child = fork();
    if (child < 0) {
      count_ = i;  // before it the others can't have taken themselves for the last
      break;
    }
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != first) _exit(0);  // the first was gone before it was asked for
      number_ = i;
      children_.clear();
      return i;
    }
    children_.push_back(child);
  }
  return 0;
}

void Workers::leave() {
  shared_->left[number_].store(true, std::memory_order_relaxed);  // the end of the process publishes it
  _exit(0);
}

/// Sees which children have ended. By the status alone a test that calls _exit(0) would have left.
void Workers::reap(int flags) {
  static_assert(kNoHang == WNOHANG);
  for (std::size_t i = 0; i < children_.size(); ++i) {
    if (children_[i] == 0) continue;
    int status = 0;
    pid_t ended = 0;
    do {
      ended = waitpid(children_[i], &status, flags);
    } while (ended < 0 && errno == EINTR);
    if (ended == 0) continue;
    children_[i] = 0;
    if (shared_->left[i + 1].load(std::memory_order_relaxed) || !lost_.empty()) continue;
    lost_ = "worker " + std::to_string(i + 1);
    if (ended < 0) {  // somebody else, or SIGCHLD's being ignored, has taken the status
      lost_ += " ended";
    } else if (WIFSIGNALED(status)) {
      lost_ += " was ended by signal " + std::to_string(WTERMSIG(status)) + " (" +
               strsignal(WTERMSIG(status)) + ")";
    } else {
      lost_ += " ended with status " + std::to_string(WEXITSTATUS(status));
    }
    stop();
  }
}

bool Workers::wait() {
  reap(0);
  return lost_.empty();
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
  for (unsigned round = 1;; ++round) {
    if (stopping()) return false;
    if (round % 64 == 0) look_after();  // who is dead is never hungry
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
