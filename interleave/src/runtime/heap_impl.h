// What a run's threads allocate and free.
#pragma once

#include <cstdint>
#include <utility>

#include "runtime/heap.h"
#include "runtime/runner.h"
#include "runtime/symbols.h"

namespace interleave {

template <int W>
bool Runner<W>::allocation_fails(Where where) {
  if (options_.allocation_failures && choose(2, where) == 1) return true;
  return may_fail(self().failing_allocations, where);
}

/// One of those that are left, unless it is none or the run is one of those in which this goes well.
template <int W>
bool Runner<W>::may_fail(unsigned& left, Where where) {
  if (left == 0 || choose(2, where) == 0) return false;
  --left;
  return true;
}

template <int W>
void* Runner<W>::allocate(std::size_t bytes, std::size_t alignment, const void* by) {
  if (!is_for_exception(by) && allocation_fails(place_of(by))) return nullptr;
  if (options_.address_reuse && alignment <= 16) {
    const int freed = std::min(memory_.reusable(bytes), 8);
    if (freed > 0) {
      const unsigned chosen = choose(static_cast<unsigned>(freed) + 1, place_of(by));
      if (chosen > 0)
        return memory_.reuse(bytes, static_cast<int>(chosen) - 1, current_, traced(place_of(by)));
    }
  }
  const Where where = traced(place_of(by));
  void* address = memory_.allocate(current_, bytes, alignment, where);
  // Nothing real has failed, and a test that goes on without the memory proves what it does not do.
  if (address == nullptr && bytes <= std::size_t{PTRDIFF_MAX}) {
    const Inside inside;
    fail(Verdict::limit,
         "thread " + std::to_string(current_) + " allocates " + std::to_string(bytes) +
             " bytes: a thread has 64 MiB in one run, or 32 MiB at once, and what it frees is not used again",
         where, {});
  }
  return address;
}

template <int W>
unsigned Runner<W>::fail_allocations(unsigned most, Where where) {
  at(where, "fail_allocations");
  return std::exchange(self().failing_allocations, most);
}

template <int W>
unsigned Runner<W>::fail_threads(unsigned most, Where where) {
  at(where, "fail_threads");
  return std::exchange(self().failing_threads, most);
}

template <int W>
void Runner<W>::plain_destroy(const void* address, std::size_t bytes, Where where) {
  const Inside inside;
  const PlainAccess* user = races_.forget(reinterpret_cast<std::uintptr_t>(address), bytes,
                                          static_cast<std::uint8_t>(current_), *this);
  if (user == nullptr) return;
  failure_.plain = true;
  failure_.other_thread = user->moment.thread;
  fail(Verdict::use_after_free,
       "freed or destroyed while thread " + std::to_string(user->moment.thread) +
           " may be using it: nothing makes that access happen before",
       user->where, traced(where));
}

template <int W>
void Runner<W>::release(void* address, const void* by) {
  const bool ours = memory_.owns(address);
  Memory::Block* block = ours ? memory_.starting_at(address) : nullptr;
  const Where where = traced(place_of(by));
  if (ours && block == nullptr && memory_.of_earlier_run(address)) {
    // Whoever frees it may hold a lock that no run knows of, so that leaving here would spoil later runs.
    freed_earlier_ = true;
    failure_.where = where;
    return;
  }
  if (block == nullptr || !block->live) {
    const Inside inside;
    fail(Verdict::double_free,
         block == nullptr ? "free of an address that no allocation gave"
                          : "double free: the memory was freed before",
         where, block == nullptr ? Where{} : block->freed_at);
  }
  plain_destroy(address, block->bytes, where);
  memory_.release(*block, current_, where);
}

}  // namespace interleave
