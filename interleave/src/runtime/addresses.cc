#include "runtime/addresses.h"

#include <sys/mman.h>

#include <new>

namespace interleave {
Addresses::Entry& Addresses::find_further(const void* address) {
  for (std::size_t i = slot_of(address);; i = (i + 1) & (table_.size() - 1)) {
    Entry& entry = table_[i];
    if (entry.address == address) return entry;
    if (entry.address != nullptr) continue;
    if (2 * ++used_ > table_.size()) {
      grow();
      return find_further(address);
    }
    entry.address = address;
    return entry;
  }
}

void Addresses::grow() {
  std::vector<Entry> old(2 * table_.size());
  old.swap(table_);
  used_ = 0;
  for (const Entry& entry : old) {
    if (entry.address != nullptr) find(entry.address) = entry;
  }
}

Addresses::Addresses() : table_(1024) {
  void* memory = mmap(nullptr, sizeof(All), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  all_ = new (memory) All();
}

Addresses::~Addresses() {
  munmap(all_, sizeof(All));
}

int Addresses::add(const Object& object) {
  // acquire and release: what was added before is seen by whoever is next.
  while (all_->busy.test_and_set(std::memory_order_acquire)) {
  }
  int location = 0;
  const auto is_this = [&](const Object& other) {
    return other.address == object.address && other.incarnation == object.incarnation;
  };
  while (location < all_->count && !is_this(all_->objects[location])) ++location;
  if (location == all_->count) {
    if (location == kMost) {
      location = -1;
    } else {
      all_->objects[all_->count++] = object;
    }
  }
  all_->busy.clear(std::memory_order_release);
  return location;
}

int Addresses::location(const void* address, std::uint16_t incarnation) {
  Entry& here = find(address);
  if (incarnation == 1) {
    if (here.first == 0) here.first = static_cast<std::uint16_t>(add({address, 1, here.where}) + 1);
    return here.first - 1;
  }
  // User addresses have 48 bits on what this runs on.
  const std::uintptr_t key = reinterpret_cast<std::uintptr_t>(address) | std::uintptr_t{incarnation} << 48;
  if (const auto found = others_.find(key); found != others_.end()) return found->second;
  const int location = add({address, incarnation, incarnation == 0 ? Where{} : here.where});
  if (location >= 0) others_.emplace(key, static_cast<std::uint16_t>(location));
  return location;
}

}  // namespace interleave
