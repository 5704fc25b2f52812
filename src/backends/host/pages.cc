#include "backends/host/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <new>

#include "backends/host/machine.h"
#include "sync/atomic.h"

namespace millrace::host {
namespace {

// Ranges of all objects; the limit of mappings is the process's. relaxed: a count that publishes nothing.
constinit sync::atomic<std::size_t> all_ranges{0};

std::uintptr_t page_size() noexcept {
  static const auto size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  return size;
}
std::uintptr_t page_down(std::uintptr_t address) noexcept {
  return address & ~(page_size() - 1);
}
std::uintptr_t page_up(std::uintptr_t address) noexcept {
  return page_down(address + page_size() - 1);
}

bool set_protection(std::uintptr_t begin, std::uintptr_t end, int protection) noexcept {
  return mprotect(reinterpret_cast<void*>(begin), end - begin, protection) == 0;
}

}  // namespace

Pages::~Pages() {
  all_ranges.fetch_sub(ranges_.size(), std::memory_order_relaxed);
}

std::size_t Pages::default_budget() {
  return mapping_limit() / 4;
}

std::size_t Pages::ranges() const noexcept {
  sync::LockGuard lock(mutex_);
  return ranges_.size();
}

void Pages::close(void* address, std::size_t bytes) noexcept {
  const auto base = reinterpret_cast<std::uintptr_t>(address);
  std::uintptr_t begin = page_up(base);
  std::uintptr_t end = page_down(base + bytes);
  if (begin >= end) return;
  sync::LockGuard lock(mutex_);
  auto after = ranges_.lower_bound(begin);
  const auto before = after == ranges_.begin() ? ranges_.end() : std::prev(after);
  const bool joins =
      (before != ranges_.end() && before->second >= begin) || (after != ranges_.end() && after->first <= end);
  if (!joins && all_ranges.load(std::memory_order_relaxed) >= budget_) return;
  Ranges::node_type node;
  try {  // the only allocation: before anything has changed
    node = [&] {
      Ranges one;
      one.emplace(begin, end);
      return one.extract(one.begin());
    }();
  } catch (const std::bad_alloc&) {
    return;
  }
  if (!set_protection(begin, end, PROT_NONE)) return;
  if (before != ranges_.end() && before->second >= begin) {
    begin = before->first;
    end = std::max(end, before->second);
    ranges_.erase(before);
    all_ranges.fetch_sub(1, std::memory_order_relaxed);
  }
  while (after != ranges_.end() && after->first <= end) {
    end = std::max(end, after->second);
    after = ranges_.erase(after);
    all_ranges.fetch_sub(1, std::memory_order_relaxed);
  }
  node.key() = begin;
  node.mapped() = end;
  ranges_.insert(std::move(node));
  all_ranges.fetch_add(1, std::memory_order_relaxed);
}

void Pages::remove(std::uintptr_t begin, std::uintptr_t end, bool give_access) noexcept {
  auto range = ranges_.upper_bound(begin);
  if (range != ranges_.begin() && std::prev(range)->second > begin) --range;
  while (range != ranges_.end() && range->first < end) {
    const std::uintptr_t first = range->first;
    const std::uintptr_t last = range->second;
    const std::uintptr_t from = std::max(first, begin);
    const std::uintptr_t to = std::min(last, end);
    if (give_access && !set_protection(from, to, PROT_READ | PROT_WRITE)) {
      // No mapping left for a hole in the middle. The whole range needs fewer than there are now.
      (void)set_protection(first, last, PROT_READ | PROT_WRITE);
      range = ranges_.erase(range);
      all_ranges.fetch_sub(1, std::memory_order_relaxed);
      continue;
    }
    if (first < from && to < last) {
      try {
        ranges_.emplace_hint(std::next(range), to, last);
        all_ranges.fetch_add(1, std::memory_order_relaxed);
      } catch (const std::bad_alloc&) {
        (void)set_protection(to, last, PROT_READ | PROT_WRITE);  // nobody would, once it is not noted
      }
      range->second = from;
      return;
    }
    if (first < from) {
      range->second = from;
      ++range;
    } else if (to < last) {
      auto node = ranges_.extract(range);
      node.key() = to;
      ranges_.insert(std::move(node));
      return;
    } else {
      range = ranges_.erase(range);
      all_ranges.fetch_sub(1, std::memory_order_relaxed);
    }
  }
}

void Pages::open(void* address, std::size_t bytes) noexcept {
  if (bytes == 0) return;
  const auto base = reinterpret_cast<std::uintptr_t>(address);
  sync::LockGuard lock(mutex_);
  remove(page_down(base), page_up(base + bytes), true);
}

void Pages::forget(void* address, std::size_t bytes) noexcept {
  const auto base = reinterpret_cast<std::uintptr_t>(address);
  sync::LockGuard lock(mutex_);
  remove(base, base + bytes, false);
}

}  // namespace millrace::host
