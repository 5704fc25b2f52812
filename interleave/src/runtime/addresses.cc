#include "runtime/addresses.h"

namespace interleave {

std::uint16_t Addresses::made(const void* address, std::uint32_t run, Where where) {
  Incarnations& here = incarnations_[address];
  if (here.run != run) here = {run, 0, {}};
  here.where = where;
  return ++here.count;
}

int Addresses::location(const void* address, std::uint16_t incarnation, int limit) {
  // User addresses have 48 bits on what this runs on.
  const std::uintptr_t key = reinterpret_cast<std::uintptr_t>(address) | std::uintptr_t{incarnation} << 48;
  const auto [found, added] = locations_.try_emplace(key, static_cast<std::uint16_t>(objects_.size()));
  if (added) {
    if (count() >= limit) {
      locations_.erase(found);
      return -1;
    }
    const auto made = incarnations_.find(address);
    objects_.push_back({address, made == incarnations_.end() ? Where{} : made->second.where});
  }
  return found->second;
}

}  // namespace interleave
