// Which location of graphs an object in memory is.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "interleave/detail/runtime.h"

namespace interleave {

/// An object is the same one in all runs if it has the same address and the same number of objects were made
/// there before it in the run. Locations are given out when one is first used and kept for all runs.
///
/// Thread safety: one thread.
class Addresses {
 public:
  static constexpr int kUnknown = 0xffff;

  struct Object {
    const void* address;
    Where made;
  };

  /// How many objects were made at the address in this run before: notes one more.
  std::uint16_t made(const void* address, std::uint32_t run, Where where);
  /// The location of the object made there as number `incarnation`; -1 when there are no more locations.
  int location(const void* address, std::uint16_t incarnation, int limit);

  const Object& object(int location) const { return objects_[static_cast<std::size_t>(location)]; }
  int count() const noexcept { return static_cast<int>(objects_.size()); }

 private:
  struct Incarnations {
    std::uint32_t run = 0;
    std::uint16_t count = 0;
    Where where;  // the latest
  };
  std::unordered_map<const void*, Incarnations> incarnations_;
  std::unordered_map<std::uintptr_t, std::uint16_t> locations_;
  std::vector<Object> objects_;
};

}  // namespace interleave
