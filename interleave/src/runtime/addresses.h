// Which location of graphs an object in memory is.
#pragma once

#include <atomic>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "interleave/where.h"

namespace interleave {

/// An object is the same one in all runs if it has the same address and the same number of objects were made
/// there before it in the run. Locations are given out when one is first used and kept for all runs.
///
/// Thread safety: one thread.
class Addresses {
 public:
  static constexpr int kMost = 4096;
  struct Object {
    const void* address;
    std::uint16_t incarnation;
    Where made;
  };

  /// Throws std::bad_alloc when the system has no shared memory for it.
  Addresses();
  ~Addresses();
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;

  /// Which of the objects that the run makes at an address; from 1.
  struct Made {
    std::uint16_t incarnation;
    int location;  // -1: not known yet
  };
  /// Notes that an object is made at the address.
  Made made(const void* address, std::uint32_t run, Where where) {
    Entry& here = find(address);
    if (here.run != run) {
      here.run = run;
      here.count = 0;
    }
    here.where = where;
    ++here.count;
    return {here.count, here.count == 1 ? here.first - 1 : -1};
  }
  /// The location of the object made there as number `incarnation`, 0 if before the run; -1 when there are no
  /// more locations.
  int location(const void* address, std::uint16_t incarnation);

  const Object& object(int location) const { return all_->objects[location]; }

 private:
  /// What is known of an address. The locations of the first object of a run there stand here, those of
  /// others in a map: hardly any test makes two.
  struct Entry {
    const void* address = nullptr;
    std::uint32_t run = 0;
    std::uint16_t count = 0;
    std::uint16_t first = 0;  // 1 + its location; 0: not used yet
    Where where;              // of the latest
  };

  /// The same for all processes that share the work, since graphs that go from one to another name locations.
  struct All {
    std::atomic_flag busy;
    int count;
    Object objects[kMost];
  };

  Entry& find(const void* address) {
    Entry& entry = table_[slot_of(address)];
    return entry.address == address ? entry : find_further(address);
  }
  Entry& find_further(const void* address);
  std::size_t slot_of(const void* address) const noexcept {
    return static_cast<std::size_t>((reinterpret_cast<std::uintptr_t>(address) * 0x9e3779b97f4a7c15) >> 32) &
           (table_.size() - 1);
  }
  void grow();
  int add(const Object& object);

  std::vector<Entry> table_;
  std::size_t used_ = 0;
  std::unordered_map<std::uintptr_t, std::uint16_t> others_;
  All* all_;
};

}  // namespace interleave
